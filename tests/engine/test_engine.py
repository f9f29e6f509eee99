"""The compiled engine: the reference's logits, and the same bits however its work is cut up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Read, load_engine
from multiscale_transformer.engine.kv_cache import PagedKVCache
from multiscale_transformer.engine.weights import page_elements
from multiscale_transformer.errors import AxlError
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.reader import MemoryFeatures, TextReader, no_features
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.quantization.quantize import Packer, unpacked
from tiny import SHAPES, TEXT, checkpoint, corpus_memory


@pytest.fixture(scope="module", params=SHAPES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[MultiScaleTransformer, Path]:
    folder = tmp_path_factory.mktemp("checkpoint")
    return checkpoint(SHAPES[request.param], folder), folder


@pytest.fixture(scope="module", params=["three scales", "words"])
def plain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models without a memory."""
    folder = tmp_path_factory.mktemp("plain")
    checkpoint(SHAPES[request.param], folder)
    return folder


def features_of(engine: Engine, ids: list[int]) -> MemoryFeatures:
    if not engine.config.memory:
        return no_features(len(ids))
    memory = corpus_memory()
    return TextReader(memory).read(ids)


def logits_in(engine: Engine, ids: list[int], chunks: list[int]) -> np.ndarray:
    """Logits after every id, read in chunks of these sizes over and over; nothing is shared with earlier calls."""
    found, sequence, out, at = features_of(engine, ids), engine.new_sequence(ids, object()), [], 0
    while at < len(ids):
        size = chunks[len(out) % len(chunks)]
        part = slice(at, min(len(ids), at + size))
        out.append(engine.read([Read(sequence, ids[part], found.part(part), len(ids[part]))])[0].copy())
        at += size
    sequence.close()
    return np.concatenate(out)


def test_logits_are_those_of_the_reference(pair: tuple[MultiScaleTransformer, Path]) -> None:
    model, folder = pair
    engine = load_engine(folder)
    ours = logits_in(engine, TEXT, [MAX_BATCH_TOKENS])
    found = features_of(engine, TEXT)
    recall = MemoryTensors(*(torch.from_numpy(part)[None] for part in found)) if engine.config.memory else None
    with torch.inference_mode():
        reference = model(torch.tensor([TEXT]), features=recall)[0].numpy()
    assert np.abs(ours - reference).max() <= 0.02 * np.abs(reference).max()


UNLIKE_CODE = {
    "a row at every byte": [BOS, *b"\n" * 150],
    "no row at all": list(b"a" * 150),
    "a word longer than pages": [*b"first ", *b"a" * 200, *b" last"],
    "a word over the end of a page": [*b"." * 60, *b"abcdefgh " * 3],
    "an end at the start of a page": [*b"." * 60, *b"abcd. abc. "],
}


@pytest.mark.parametrize("text", UNLIKE_CODE)
@pytest.mark.parametrize("bits", [8, 4])
def test_words_of_any_length_give_the_reference_s_logits(text: str, bits: int, tmp_path: Path) -> None:
    model, ids = checkpoint(SHAPES["words"], tmp_path), UNLIKE_CODE[text]
    engine = load_engine(tmp_path, bits=bits)
    ours = logits_in(engine, ids, [MAX_BATCH_TOKENS])
    with torch.inference_mode():
        reference = model(torch.tensor([ids]))[0].numpy()
    assert np.abs(ours - reference).max() <= {8: 0.02, 4: 0.4}[bits] * np.abs(reference).max()
    for chunks in ([1], [7, 1, 1, 30]):
        np.testing.assert_array_equal(ours, logits_in(engine, ids, chunks))


def test_any_chunking_gives_the_same_bits(pair: tuple[MultiScaleTransformer, Path]) -> None:
    engine = load_engine(pair[1])
    whole = logits_in(engine, TEXT, [MAX_BATCH_TOKENS])
    for chunks in ([1], [2, 3, 5], [7, 1, 1, 30]):
        np.testing.assert_array_equal(whole, logits_in(engine, TEXT, chunks))


def test_a_later_byte_changes_nothing_before_it(pair: tuple[MultiScaleTransformer, Path]) -> None:
    engine = load_engine(pair[1])
    changed = TEXT.copy()
    changed[100] ^= 1
    before, after = (logits_in(engine, ids, [MAX_BATCH_TOKENS]) for ids in (TEXT, changed))
    np.testing.assert_array_equal(before[:100], after[:100])
    assert not np.array_equal(before[100], after[100])


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_share_the_work_and_give_the_same_bits(
    pair: tuple[MultiScaleTransformer, Path], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiscale_transformer.engine.engine.MIN_PARALLEL_MACS", 0)
    one, several = load_engine(pair[1], threads=1), load_engine(pair[1], threads=threads)
    for shared in (True, False):
        monkeypatch.setattr(several._choice, "threads", lambda rows, shared=shared: threads if shared else 1)
        np.testing.assert_array_equal(logits_in(one, TEXT, [9, 1]), logits_in(several, TEXT, [9, 1]))
    several.close()
    np.testing.assert_array_equal(logits_in(one, TEXT, [9, 1]), logits_in(several, TEXT, [9, 1]), "after close, alone")


@pytest.mark.parametrize("shape", ["flat", "memory", "scales of 1, 3 and 6"])
def test_more_threads_than_cores_give_the_same_bits(shape: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiscale_transformer.engine.engine.MIN_PARALLEL_MACS", 0)
    checkpoint(SHAPES[shape], tmp_path)
    threads = available_cores() + 3
    one, several = load_engine(tmp_path), load_engine(tmp_path, threads=threads)
    monkeypatch.setattr(several._choice, "threads", lambda rows: threads)
    np.testing.assert_array_equal(logits_in(one, TEXT, [9, 1]), logits_in(several, TEXT, [9, 1]))
    several.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_taking_back_is_as_never_having_read(plain: Path, data: st.DataObject) -> None:
    engine = load_engine(plain)
    kept = data.draw(st.integers(1, 150))
    tried = data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=40))
    committed = data.draw(st.booleans())
    sequence = engine.new_sequence(TEXT, object())
    for ids in (TEXT[:kept][begin : begin + MAX_BATCH_TOKENS] for begin in range(0, kept, MAX_BATCH_TOKENS)):
        engine.read([Read(sequence, ids, no_features(len(ids)))])
    engine.read([Read(sequence, tried, no_features(len(tried)))])
    if committed:
        sequence.commit()
    sequence.roll_back(len(tried))
    rest = TEXT[kept : kept + 20]
    (after,) = engine.read([Read(sequence, rest, no_features(len(rest)), len(rest))])
    np.testing.assert_array_equal(after, logits_in(engine, TEXT[: kept + 20], [MAX_BATCH_TOKENS])[kept:])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20)), min_size=3, max_size=12))
def test_neighbours_change_nothing(plain: Path, turns: list[tuple[int, int]]) -> None:
    engine = load_engine(plain)
    texts = [TEXT, [BOS, *b"import os\n" * 20], [BOS, *range(200)]]
    alone = [logits_in(engine, text, [MAX_BATCH_TOKENS]) for text in texts]
    sequences, at = [engine.new_sequence(text, object()) for text in texts], [0, 0, 0]
    for first, size in turns:
        chosen = [first, (first + 1) % 3]
        reads = [
            Read(sequences[n], texts[n][at[n] : at[n] + size], no_features(len(texts[n][at[n] : at[n] + size])), 1)
            for n in chosen
            if at[n] < len(texts[n])
        ]
        if not reads:
            continue
        for n, logits in zip([n for n in chosen if at[n] < len(texts[n])], engine.read(reads), strict=True):
            at[n] = min(len(texts[n]), at[n] + size)
            np.testing.assert_array_equal(logits[0], alone[n][at[n] - 1])


def test_texts_that_begin_alike_share_pages_and_bits(plain: Path) -> None:
    engine = load_engine(plain)
    first = engine.new_sequence(TEXT)
    for begin in range(0, len(TEXT), MAX_BATCH_TOKENS):
        ids = TEXT[begin : begin + MAX_BATCH_TOKENS]
        engine.read([Read(first, ids, no_features(len(ids)))])
    first.commit()
    first.close()
    other = [*TEXT[:150], *b"changed from here on"]
    second = engine.new_sequence(other)
    assert second.length == 128  # two whole pages of 64 bytes
    rest = other[128:]
    (logits,) = engine.read([Read(second, rest, no_features(len(rest)), len(rest))])
    np.testing.assert_array_equal(logits, logits_in(engine, other, [MAX_BATCH_TOKENS])[128:])
    assert engine.new_sequence(other, "another memory").length == 0


def test_pages_run_out_in_one_line_and_come_back(plain: Path) -> None:
    engine = load_engine(plain, cache_bytes=0)  # then it holds one window
    pages = engine.cache.available
    sequence = engine.new_sequence(TEXT)
    engine.read([Read(sequence, TEXT[:MAX_BATCH_TOKENS], no_features(MAX_BATCH_TOKENS))])
    hungry = [engine.new_sequence([BOS], object()) for _ in range(pages)]
    with pytest.raises(AxlError, match="cache is full"):
        engine.read([Read(each, [BOS], no_features(1)) for each in hungry])
    assert engine.cache.available == pages - 1  # the step that failed has kept nothing
    sequence.close()
    assert engine.cache.available == pages


def test_the_page_unused_longest_goes_first_with_all_that_follow_it() -> None:
    cache = PagedKVCache(SHAPES["flat"].model_copy(update={"max_seq_len": 256}), 0)
    size = cache.page
    pages = [cache.allocate() for _ in range(3)]
    for number, page in enumerate(pages):
        cache.insert(page, "root", pages[number - 1] if number else None, [number] * size)
    for page in reversed(pages):
        cache.release(page)
    ids = [n for number in range(3) for n in [number] * size]
    found = cache.lookup("root", ids)
    assert found == pages
    for page in found:
        cache.release(page)
    while cache.allocate() != pages[0]:
        pass
    assert cache.lookup("root", ids) == []


@pytest.mark.parametrize("bits", [8, 4])
def test_packed_weights_are_near_and_their_products_exact(bits: int) -> None:
    from multiscale_transformer.kernels.quantized_linear import multiply, new_activations, quantize_row

    rng = np.random.default_rng(0)
    for outputs, inputs in ((258, 256), (64, 688), (3, 48), (9, 2050)):
        packer = Packer()
        weight = rng.normal(size=(outputs, inputs)).astype(np.float32)
        index = packer.add(weight, rng.normal(size=outputs).astype(np.float32), bits)
        packed = packer.packed()
        used = unpacked(packed, index)
        assert np.linalg.norm(used[:outputs] - weight) < {8: 0.01, 4: 0.1}[bits] * np.linalg.norm(weight)
        acts, y = new_activations(7, 2304), np.zeros((7, len(used)), np.float32)
        x = rng.integers(-100, 101, (7, inputs)).astype(np.float32)
        x[:, 0] = {8: 2047.0, 4: 127.0}[bits]  # so that the scale is one and rounding changes nothing
        for row in range(7):
            quantize_row(packed, index, x[row], row, acts)
        multiply(packed, index, 7, acts, y, 0, 1)
        bias = packed.floats[packed.linears_L[index]["bias_at"] :][: len(used)]
        np.testing.assert_allclose(y, x.astype(np.float64) @ used.T.astype(np.float64) + bias, rtol=1e-4, atol=1e-2)


def test_the_largest_sums_fit() -> None:
    from multiscale_transformer.kernels.quantized_linear import multiply, new_activations, quantize_row
    from multiscale_transformer.quantization.quantize import MAX_INPUTS

    for bits in (8, 4):
        packer = Packer()
        index = packer.add(np.ones((1, MAX_INPUTS), np.float32), None, bits)
        packed, acts, y = packer.packed(), new_activations(1, MAX_INPUTS), np.zeros((1, 4), np.float32)
        quantize_row(packed, index, np.ones(MAX_INPUTS, np.float32), 0, acts)
        multiply(packed, index, 1, acts, y, 0, 1)
        assert y[0, 0] == pytest.approx(MAX_INPUTS, rel=0.08)


def test_a_page_of_words_has_room_for_a_row_at_every_byte() -> None:
    config = SHAPES["words"]
    page = PagedKVCache(config, 0).page
    assert page_elements(config) == page * config.d_model * (2 * (config.layers[0] + config.word_layers) + 1)


def test_a_page_holds_what_the_config_says() -> None:
    config = SHAPES["three scales"]
    engine_page = PagedKVCache(config, 0).page
    stated = config.cache_bytes(engine_page, dtype_bytes=2) - (8 + 6 * config.memory) * engine_page
    up = 2 * engine_page * (len(config.downsample_factors) - 1) * config.d_model  # kept brought up to bytes
    finals = 2 * sum(engine_page // s for s in config.downsample_factors[1:]) * config.d_model
    assert 2 * page_elements(config) == stated - finals + up
