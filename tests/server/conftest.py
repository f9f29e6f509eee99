"""One server for all tests that only ask it things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from server.running import Running, make_models, running, settings_for

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))  # warnings only


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def served(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(settings_for(model, tmp_path_factory.mktemp("served"), indexes={"own": model / "memory"})) as up:
        yield up


@pytest.fixture(scope="session")
def http(served: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        yield client
