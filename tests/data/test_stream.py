import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.fim import (
    BEFORE_CURSOR,
    MIDDLE,
    OPENED,
    PLAIN,
    fill_in_the_middle,
    rearrange,
    restore,
)
from multiscale_transformer.data.stream import WindowStream
from multiscale_transformer.engine.infill import fim_ids
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

TEXT_BYTES = st.integers(0x20, 0xFF)


@st.composite
def distinct_documents(draw: st.DrawFn) -> Documents:
    """Documents in which no byte occurs twice, so that a byte says where it stands."""
    lengths = draw(st.lists(st.integers(0, 40), min_size=1, max_size=6))
    ends = np.cumsum([0, *lengths])
    return Documents.from_items(
        (str(number), bytes(range(begin, end))) for number, (begin, end) in enumerate(itertools.pairwise(ends))
    )


def ring_of(documents: Documents) -> list[int]:
    return [id_ for _, content in documents for id_ in (BOS, *content, EOS)]


@given(distinct_documents(), st.data())
def test_an_epoch_predicts_everything_once(documents: Documents, data: st.DataObject) -> None:
    ring = ring_of(documents)
    window = data.draw(st.integers(1, len(ring) - 1))
    seed, epoch = data.draw(st.integers(-5, 5)), data.draw(st.integers(0, 3))
    stream = WindowStream(documents, window, 1, seed)
    windows = stream.bytes_per_epoch // window
    predicted = Counter[int]()
    unrolled = ring * 2
    for step in range(epoch * windows, (epoch + 1) * windows):
        row = stream.batch_at(step)[0].tolist()
        places = [at for at in range(len(ring)) if unrolled[at : at + window + 1] == row]
        assert places, "a window must be a stretch of the ring"
        predicted.update(row[1:])
    left_over = Counter(ring) - predicted
    assert predicted <= Counter(ring)
    assert left_over.total() < window
    assert stream.bytes_per_epoch == predicted.total()


@given(distinct_documents(), st.data())
def test_batches_do_not_depend_on_what_was_asked_before(documents: Documents, data: st.DataObject) -> None:
    window = data.draw(st.integers(1, len(ring_of(documents)) - 1))
    batch, rate = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([0.0, 0.5]))
    steps = data.draw(st.lists(st.integers(0, 50), min_size=1, max_size=6))
    stream = WindowStream(documents, window, batch, 3, rate)
    for step in steps:
        alone = WindowStream(documents, window, batch, 3, rate).batch_at(step)
        assert alone.shape == (batch, window + 1)
        assert alone.dtype == np.int64
        np.testing.assert_array_equal(stream.batch_at(step), alone)


def test_batch_size_does_not_change_the_order() -> None:
    documents = Documents.from_items([("a", bytes(range(32, 132)))])
    by_one = [WindowStream(documents, 7, 1, 0).batch_at(step)[0] for step in range(40)]
    by_five = [row for step in range(8) for row in WindowStream(documents, 7, 5, 0).batch_at(step)]
    np.testing.assert_array_equal(by_one, by_five)


def test_seeds_and_epochs_differ() -> None:
    documents = Documents.from_items([("a", bytes(range(32, 232)))])
    epochs = [WindowStream(documents, 10, 20, seed).batch_at(epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert len({epoch.tobytes() for epoch in epochs}) == 4


def test_every_epoch_cuts_elsewhere() -> None:
    stream = WindowStream(Documents.from_items([("a", bytes(range(200)))]), 100, 2, 0)
    first_ids = {int(id_) for epoch in range(100) for id_ in stream.batch_at(epoch)[:, 0]}
    assert len(first_ids) > 100


def test_a_corpus_smaller_than_the_context_is_refused() -> None:
    documents = Documents.from_items([("a", b"x" * 1200)])
    with pytest.raises(AxlError, match=r"^the corpus holds 1,200 bytes but the context is 2,048; add files or use a"):
        WindowStream(documents, 2048, 1, 0)
    with pytest.raises(AxlError, match="1,200 bytes"):
        WindowStream(documents, 1202, 1, 0)
    assert WindowStream(documents, 1201, 1, 0).batch_at(0).shape == (1, 1202)


@given(st.lists(TEXT_BYTES, max_size=30), st.data())
def test_rearranging_is_a_permutation_that_restore_undoes(span: list[int], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(span)))
    second = data.draw(st.integers(first, len(span)))
    for prefix_first in (False, True):
        ids = rearrange(np.array(span, np.int64), (first, second), prefix_first=prefix_first)
        assert Counter(ids.tolist()) == Counter([*span, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE])
        if prefix_first:
            assert restore(ids).tolist() == span
            continue
        asked = fim_ids(bytes(span[:first]), bytes(span[second:]))
        assert [BOS, *ids] == [*asked, *span[first:second]], "a training text must go on as a prompt does"


def test_restore_refuses_another_layout() -> None:
    with pytest.raises(ValueError, match="laid out"):
        restore(np.array([FIM_PREFIX, 65, FIM_MIDDLE, 66, FIM_SUFFIX]))


def originals(ids: list[int], parts: list[int]) -> list[int]:
    """The text that a rearranged window was made of, as far as it is all there: the last prompt may be cut off."""
    text: list[int] = []
    at = 0
    while at < len(ids):
        if parts[at] == PLAIN and not (ids[at] == BOS and ids[at + 1 : at + 2] == [FIM_PREFIX]):
            text.append(ids[at])
            at += 1
            continue
        end = at + 1
        while end < len(ids) and parts[end] in (BEFORE_CURSOR, MIDDLE) and (ids[end] != EOS):
            end += 1
        if end == len(ids):  # cut off by the window
            return text
        prompt = ids[at + 1 : end]
        middle = prompt.index(FIM_MIDDLE)
        if prompt[1] == FIM_SUFFIX:
            n = parts[at:end].count(MIDDLE)
            either = prompt[middle + 1 :] + prompt[2:middle]
            assert len(prompt) - n >= middle
        else:
            either = restore(np.array(prompt)).tolist()
        if parts[at] == PLAIN:
            text.append(BOS)
        text += either
        whole_document = ids[end + 1 : end + 2] != [BOS] or parts[end + 1] == PLAIN
        if whole_document and end + 1 < len(ids):
            text.append(EOS)
        at = end + 1
    return text


@settings(max_examples=300)
@given(st.lists(st.lists(TEXT_BYTES, max_size=150), min_size=1, max_size=4), st.data())
def test_a_rearranged_window_holds_the_text_of_the_window_in_order(texts: list[list[int]], data: st.DataObject) -> None:
    ring = [id_ for text in texts for id_ in (BOS, *text, EOS)]
    begin = data.draw(st.integers(0, len(ring) - 1))
    end = data.draw(st.integers(begin + 1, len(ring)))
    window = ring[begin:end]
    seed = data.draw(st.integers(0, 1000))
    ids, parts = (row.tolist() for row in fill_in_the_middle(np.array(window), np.random.default_rng(seed)))
    assert len(ids) == len(parts) == len(window)
    found = originals(ids, parts)
    assert found == window[: len(found)]
    for at, kind in enumerate(parts):
        if kind == OPENED:
            assert ids[at : at + 2] in ([BOS, FIM_PREFIX], [BOS])
        if kind == BEFORE_CURSOR:
            assert ids[at] != EOS
        if kind == MIDDLE and at + 1 < len(ids) and parts[at + 1] != MIDDLE:
            assert ids[at] == EOS
        if kind == PLAIN and ids[at] in (FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE):
            raise AssertionError("a mark stands in plain text")


def test_where_a_middle_ends_cannot_be_counted() -> None:
    """Neither its place in the window nor its distance from the beginning of its prompt says that it ends."""
    window, places, lengths, cut_off = np.full(257, 65), Counter[int](), Counter[int](), 0
    for seed in range(2000):
        ids, parts = fill_in_the_middle(window, np.random.default_rng(seed))
        ends, begins = np.flatnonzero(ids == EOS), np.flatnonzero(ids == BOS)
        places.update(ends.tolist())
        lengths.update((ends - begins[: len(ends)]).tolist())
        cut_off += len(begins) > len(ends)
        assert (parts[ends] == MIDDLE).all()
    assert max(places.values()) < 0.02 * places.total()
    assert max(lengths.values()) < 0.05 * lengths.total()
    assert cut_off > 1900, "the window's own end is no end of a middle"


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_fim_rate_is_the_share_of_rearranged_windows(rate: float) -> None:
    documents = Documents.from_items([(str(number), b"x" * 300) for number in range(100)])
    batch = WindowStream(documents, 64, 2000, 0, rate).batch_at(0)
    rearranged = (batch == FIM_PREFIX).any(axis=1)
    assert abs(rearranged.mean() - rate) < 0.04
    assert ((batch == FIM_SUFFIX).any(axis=1) <= rearranged).all()
    assert abs((batch == FIM_MIDDLE).any(axis=1).mean() - rate) < 0.06  # some are cut off by the window


def test_every_step_rearranges_anew() -> None:
    documents = Documents.from_items([("a", b"x" * 5000)])
    stream = WindowStream(documents, 64, 20, 0, 0.5)
    assert len({(stream.batch_at(step) == FIM_PREFIX).any(axis=1).tobytes() for step in range(10)}) > 5


@given(distinct_documents(), st.data())
def test_answers_and_their_ends_are_marked_wherever_windows_begin(documents: Documents, data: st.DataObject) -> None:
    lengths = np.diff(documents.offsets).tolist()
    begins = [data.draw(st.integers(0, length)) for length in lengths]
    ring = ring_of(documents)
    parts = [
        part
        for length, begin in zip(lengths, begins, strict=True)
        for part in [PLAIN] * (1 + begin) + [MIDDLE] * (length - begin + 1)
    ]
    window = data.draw(st.integers(1, len(ring) - 1))
    stream = WindowStream(documents.with_answers(begins), window, 3, 1)
    for step in range(3):
        windows = stream.windows_at(step)
        assert np.array_equal(windows.ids_BT, WindowStream(documents, window, 3, 1).batch_at(step))
        for ids, marked in zip(windows.ids_BT.tolist(), windows.parts_BT.tolist(), strict=True):
            places = [at for at in range(len(ring)) if (ring * 2)[at : at + window + 1] == ids]
            assert any((parts * 2)[at : at + window + 1] == marked for at in places)


def test_answers_stay_with_their_documents_in_a_subset() -> None:
    documents = Documents.from_items([("a", b"xy"), ("b", b"xyz"), ("c", b"x")]).with_answers([1, 2, 0])
    chosen = documents.subset([2, 0]).answers
    assert chosen is not None
    assert chosen.tolist() == [0, 1]
    with pytest.raises(ValueError, match="as long as names"):
        documents.with_answers([1])
