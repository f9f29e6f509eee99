"""One server for all tests that only ask it things."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from safetensors.torch import load_file, save_file

from multiscale_transformer.model.vocabulary import EOS
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


@pytest.fixture(scope="module")
def ending(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose model ends soon, as trained ones do: one without training may fill its context first, which is an error to
    some clients. Half of its states lie on the side of the row of EOS, which is longer than all others."""
    folder = tmp_path_factory.mktemp("ending") / "tiny"
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["embedding.weight"][EOS] *= 50
    save_file(weights, folder / "model.safetensors")
    with running(settings_for(folder, tmp_path_factory.mktemp("ends"), indexes={"own": folder / "memory"})) as up:
        yield up
