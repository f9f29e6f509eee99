"""Models that several files read with; a file that needs another has fixtures of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiscale_transformer.engine.engine import Engine, load_engine
from tiny import SHAPES, checkpoint


@pytest.fixture(scope="module", params=["memory", "words"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models with a memory: three scales, and words."""
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoint(SHAPES[request.param].model_copy(update={"memory": True}), folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load_engine(folder)
