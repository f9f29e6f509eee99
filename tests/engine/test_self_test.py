"""The engine is used only where it says what the reference says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from multiscale_transformer.engine import self_test as selftest
from multiscale_transformer.engine.engine import load_engine
from multiscale_transformer.engine.weights import UnfitError
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.network import CROSS
from multiscale_transformer.memory.reader import no_features
from multiscale_transformer.model.checkpoint import save_model
from multiscale_transformer.model.memory_spec import (
    CANDIDATE_COUNT,
    COUNT_BINS,
    NO_CANDIDATE,
    NUM_CONTEXT_LENGTHS,
    NUM_CORPUS_LENGTHS,
    NUM_ORDERS,
)
from multiscale_transformer.quantization.engine_file import ENGINE_FILE, read_bits, write_bits
from tiny import SHAPES, checkpoint


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


RECORDS = ("layers.", "packed.linears_L.")  # addresses: wrong ones read outside of arrays, which ends the process, not the test
SHAPES_AND_EMPTY = {  # arrays of size 0 in models of these shapes: all others together are met
    "memory": {"tables.no_sinks_2HD", "tables.since_KE"},
    "words": {
        *("tables.no_sinks_2HD", "tables.cross_gain_XP", "tables.sinks_XP2HD", "tables.gate", "tables.gate_bias_S"),
        *(f"layers.cross_XP.{field}" for field in CROSS.names or ()),
    },
}


def arrays_of(part: object, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """All arrays in named tuples of any depth, and all fields of those of records, by their names."""
    if isinstance(part, np.ndarray) and part.dtype.names:
        for field in part.dtype.names:
            yield from arrays_of(part[field], f"{name}.{field}")
    elif isinstance(part, np.ndarray):
        yield name.removeprefix("."), part
    elif isinstance(part, tuple):
        for field in part._fields:  # type: ignore[attr-defined]
            yield from arrays_of(getattr(part, field), f"{name}.{field}")


@pytest.mark.parametrize("shape", SHAPES_AND_EMPTY)
def test_an_error_in_any_array_of_the_engine_is_seen(shape: str, folder: Path) -> None:
    """Every field of `Network` is met: one that is added and not tested is a failure here."""
    model, empty = (
        checkpoint(SHAPES[shape].model_copy(update={"memory": True, "conv_taps": 2}), folder),
        SHAPES_AND_EMPTY[shape],
    )
    with torch.no_grad():
        model.embedding.weight.mul_(20)  # a trained model has opinions, a random one hardly any
    save_model(model, folder)
    bits = {8: load_engine(folder, bits=8), 4: load_engine(folder, bits=4)}
    names = [name for name, _ in arrays_of(bits[8].network)]
    assert len(set(names)) == len(names) > 50
    assert set(names) > empty
    addresses = {name for name in names if name.startswith(RECORDS)}
    assert {name.rpartition(".")[0] for name in addresses} == {
        *("layers.blocks_SL", "layers.scales_S", "layers.cross_XP", "packed.linears_L")
    }
    selftest.check(bits[8], folder)
    rng = np.random.default_rng(0)
    for name in names:
        if name in addresses | empty:
            continue
        engine = bits[4 if name == "packed.scales" else 8]  # which weights of 8 bits have not
        array = dict(arrays_of(engine.network))[name]
        assert array.size, name
        before = array.copy()
        integers = np.where(np.arange(array.size) % 3, 100, 27).reshape(array.shape) * (1 if name == "packed.quants" else 50)
        array[...] = rng.normal(size=array.shape) * 100 if array.dtype.kind == "f" else integers
        assert selftest.divergence(engine, folder) > selftest.MAX_DIVERGENCE, name
        array[...] = before
    selftest.check(bits[8], folder)


def test_what_is_made_up_covers_all_that_a_memory_can_say() -> None:
    found = selftest.made_up(len(selftest.PROBE))
    assert set(found.lengths_T2[:, 0]) == set(range(NUM_CORPUS_LENGTHS))
    assert set(found.lengths_T2[:, 1]) == set(range(NUM_CONTEXT_LENGTHS))
    candidates_T = (found.symbols_TM != NO_CANDIDATE).sum(-1)
    assert set(candidates_T) == set(range(CANDIDATE_COUNT + 1))
    told_T = candidates_T > 0
    assert all(set(found.bins_TMJ[told_T, :, source].flatten()) == set(range(COUNT_BINS)) for source in range(NUM_ORDERS))
    assert all(len(set(symbols[:count])) == count for symbols, count in zip(found.symbols_TM, candidates_T, strict=True))
    for one, other in zip(found, selftest.made_up(len(found.lengths_T2)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_answers_to_another_question_are_not_mistaken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = selftest._key(folder)
    monkeypatch.setattr(selftest, "made_up", no_features)  # as it was asked once
    assert selftest._key(folder) != before


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
    linears_L = load_engine(folder).network.packed.linears_L
    assert sorted(linears_L["bits"].tolist()) == [4] + [8] * (len(linears_L) - 1)
    (folder / ENGINE_FILE).write_text('{"bits": {"embedding.weight": 3}}')
    with pytest.raises(AxlError, match="other widths"):
        load_engine(folder)
    (folder / ENGINE_FILE).write_text("half")
    with pytest.raises(AxlError, match="damaged"):
        load_engine(folder)
