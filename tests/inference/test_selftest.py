"""The engine is used only where it says what the reference says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.test_engine import SHAPES, checkpoint
from multiscale_transformer.errors import AxlError
from multiscale_transformer.inference import selftest
from multiscale_transformer.inference.engine import load_engine
from multiscale_transformer.inference.engine_file import ENGINE_FILE, read_bits, write_bits
from multiscale_transformer.inference.loading import UnfitError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(selftest, "user_cache_path", lambda *_, **__: tmp_path / "cache")
    checkpoint(SHAPES["memory"], tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def test_an_engine_that_agrees_passes_and_the_reference_is_asked_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = load_engine(folder)
    assert selftest.divergence(engine, folder) < 0.01
    monkeypatch.setattr(selftest, "_compute", lambda folder: pytest.fail("the reference was computed again"))
    selftest.check(engine, folder)


def test_an_engine_that_strays_is_refused_in_one_line(folder: Path) -> None:
    engine = load_engine(folder)
    engine.network.packed.floats[:] *= -8.0  # as if a kernel had got the scales wrong
    with pytest.raises(UnfitError, match="strays from the reference"):
        selftest.check(engine, folder)


def test_other_weights_are_another_reference(folder: Path, tmp_path: Path) -> None:
    first = selftest.reference_logits(folder)
    other = tmp_path / "other"
    checkpoint(SHAPES["memory"].model_copy(update={"d_ff": 64}), other)
    assert not np.array_equal(first, selftest.reference_logits(other))


def test_a_damaged_cache_is_computed_anew(folder: Path, tmp_path: Path) -> None:
    first = selftest.reference_logits(folder)
    (kept,) = (tmp_path / "cache").rglob("*.npy")
    kept.write_bytes(b"half")
    np.testing.assert_array_equal(first, selftest.reference_logits(folder))


def test_bits_are_kept_with_the_checkpoint_and_used(folder: Path) -> None:
    assert read_bits(folder) == {}
    write_bits(folder, {"embedding.weight": 4})
    maps = load_engine(folder).network.packed.maps_L9
    assert sorted(maps[:, 7].tolist()) == [4] + [8] * (len(maps) - 1)
    (folder / ENGINE_FILE).write_text('{"bits": {"embedding.weight": 3}}')
    with pytest.raises(AxlError, match="other widths"):
        load_engine(folder)
    (folder / ENGINE_FILE).write_text("half")
    with pytest.raises(AxlError, match="damaged"):
        load_engine(folder)
