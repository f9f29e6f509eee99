"""What the kernels look up is what the definition says, and never the document that is being read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memory.plain_memory import all_counts
from multiscale_transformer.data.fim import rearrange
from multiscale_transformer.kernels.memory_features import BOS_WITHIN, FEW_SAMPLES
from multiscale_transformer.memory.document import Document
from multiscale_transformer.memory.lookup import CorpusMemory, LeaveOut, Window
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.memory_spec import NO_CANDIDATE
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_SUFFIX
from tiny import words

TEXT = st.text("ab(,\n ", max_size=40).map(str.encode)
TEXTS = st.lists(TEXT, min_size=1, max_size=5)
STEPS = [0, 1, 2, 4, 8, 16, 32, 10**9]


def step(count: int) -> int:
    return next(index for index, most in enumerate(STEPS) if count <= most)


def memory_of(*groups: Sequence[bytes], leave_out: LeaveOut | None = None, threads: int = 1) -> CorpusMemory:
    """One shard for each group of documents."""
    shards = [build_shard((str(index), content) for index, content in enumerate(group))[0] for group in groups]
    return CorpusMemory(shards, leave_out=leave_out, threads=threads)


def window(text: bytes, **fields: object) -> Window:
    return Window(np.array([BOS, *text]), **fields)  # type: ignore[arg-type]


def assert_says(recall: MemoryTensors, position: int, counts: list[Counter[int]]) -> None:
    """The states of all candidates are those of `counts`, and a byte that is no candidate is outvoted by full ranks."""
    symbols = [0 if s == EOS else s for s in recall.symbols_BTM[0, position].tolist() if s != NO_CANDIDATE]
    assert len(set(symbols)) == len(symbols)
    seen = set().union(*counts) if counts else set()
    assert set(symbols) <= seen
    assert len(symbols) == min(len(seen), recall.symbols_BTM.shape[2])
    for rank, symbol in enumerate(symbols):
        states = recall.bins_BTMJ[0, position, rank, :-1].tolist()
        assert states == [8 * step(count[symbol]) + step(count.total() - count[symbol]) for count in counts]


@given(corpus=TEXTS, text=TEXT)
@settings(max_examples=150, deadline=None)
def test_states_are_counts_of_what_came_next(corpus: list[bytes], text: bytes) -> None:
    recall = memory_of(corpus).recall([window(text)])
    for end in range(len(text) + 1):
        counts = all_counts(corpus, text[:end])
        if max(count.total() for count in counts) <= FEW_SAMPLES:
            assert_says(recall, end, counts)


@given(corpus=TEXTS, data=st.data())
@settings(max_examples=60, deadline=None)
def test_leaving_a_document_out_is_the_same_as_never_having_indexed_it(corpus: list[bytes], data: st.DataObject) -> None:
    left_out = data.draw(st.integers(0, len(corpus) - 1))
    rest = corpus[:left_out] + corpus[left_out + 1 :]
    begin = data.draw(st.integers(0, len(corpus[left_out])))
    history = np.frombuffer(corpus[left_out][:begin], np.uint8)
    ids = np.array([*corpus[left_out][begin:], EOS])
    seen = memory_of(corpus, leave_out="document").recall([Window(ids, history, True, left_out)])
    never = memory_of(rest).recall([Window(ids, history, True)]) if rest else None
    for end in range(len(ids) - 1):
        counts = all_counts(corpus, corpus[left_out][: begin + end + 1])
        if never is None:
            assert seen.lengths_BT2[0, end, 0] == 0
        elif max(count.total() for count in counts) <= FEW_SAMPLES:  # else the document's own rows take a share of the samples
            assert_same(seen[:, end : end + 1], never[:, end : end + 1])


@given(corpus=st.lists(st.tuples(TEXT, st.sampled_from("pqr")), min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_leaving_a_source_out_is_the_same_as_never_having_indexed_it(
    corpus: list[tuple[bytes, str]], data: st.DataObject
) -> None:
    """Of whichever shard its documents are."""
    left_out, cut = data.draw(st.integers(0, len(corpus) - 1)), data.draw(st.integers(0, len(corpus)))
    text, source = corpus[left_out]
    documents = [Document(str(number), content, where) for number, (content, where) in enumerate(corpus)]
    shards = [build_shard(part)[0] for part in (documents[:cut], documents[cut:]) if part]
    seen = CorpusMemory(shards, leave_out="source").recall([Window(np.array([BOS, *text]), document=left_out)])
    rest = [[content for content, where in part if where != source] for part in (corpus[:cut], corpus[cut:])]
    never = memory_of(*filter(None, rest)).recall([window(text)]) if any(rest) else None
    for end in range(len(text) + 1):
        counts = all_counts([content for content, _ in corpus], text[:end])
        if never is None:
            assert seen.lengths_BT2[0, end, 0] == 0
        elif max(count.total() for count in counts) <= FEW_SAMPLES:
            assert_same(seen[:, end : end + 1], never[:, end : end + 1])


def test_windows_over_several_documents_leave_out_each_in_turn() -> None:
    corpus = [words(4, seed) for seed in range(3)]  # of no kind more places than are looked at
    ids = np.array([*corpus[1][20:], EOS, BOS, *corpus[2], EOS, BOS, *corpus[0][:30]])
    got = memory_of(corpus, leave_out="document").recall([Window(ids, np.frombuffer(corpus[1][:20], np.uint8), True, 1)])
    at = 0
    for number, part in ((1, corpus[1][20:]), (2, corpus[2]), (0, corpus[0][:30])):
        rest = memory_of([content for index, content in enumerate(corpus) if index != number])
        whole = rest.recall([window(corpus[number])])
        skip = 21 if number == 1 else 0
        length = len(part) + (number != 1)
        assert_same(got[:, at : at + length], whole[:, skip : skip + length])
        at += length + 1


@pytest.mark.parametrize("cut", [1, 7, 40, 90])
def test_history_and_ids_may_be_cut_anywhere(cut: int) -> None:
    corpus, text = [words(20, 1), words(20, 2)], words(12, 3)
    memory = memory_of(corpus)
    whole = memory.recall([window(text)])
    rest = memory.recall([Window(np.array([*text[cut:]]), np.frombuffer(text[:cut], np.uint8))])
    assert_same(rest, whole[:, cut + 1 :])


def test_shards_add_up() -> None:
    corpus, text = [words(4, seed) for seed in range(4)], words(6, 9)
    together, apart = memory_of(corpus).recall([window(text)]), memory_of(corpus[:1], corpus[1:]).recall([window(text)])
    small = together.bins_BTMJ.amax(-1) < 8 * 4  # where no count reaches the number of samples of a shard
    assert small.any()
    assert torch.equal(together.bins_BTMJ[small], apart.bins_BTMJ[small])


def test_threads_and_neighbours_change_nothing() -> None:
    corpus = [words(20, seed) for seed in range(3)]
    windows = [window(words(3 + seed, seed + 10)) for seed in range(5)]
    together = memory_of(corpus, threads=2).recall(windows)
    for row, alone in enumerate(windows):
        recall = memory_of(corpus).recall([alone])
        assert_same(together[row : row + 1, : len(alone.ids)], recall)
        assert (together.symbols_BTM[row, len(alone.ids) :] == NO_CANDIDATE).all()


@pytest.mark.parametrize("prefix_first", [False, True])
def test_a_hole_is_read_with_both_sides_of_it(prefix_first: bool) -> None:
    """In the middle the corpus sees the prefix go on, and the open document is the suffix and then the prefix."""
    corpus = [words(5, 1), words(5, 2)]
    prefix, suffix, middle = b"def f(width):\n    ", b"\nreturn height\n", b"return width"
    text = np.frombuffer(prefix + middle + suffix, np.uint8).astype(np.int64)
    ids = np.array([BOS, *rearrange(text, (len(prefix), len(prefix + middle)), prefix_first=prefix_first)])
    recall = memory_of(corpus).recall([Window(ids)])
    first = len(ids) - len(middle) - 1  # the id before the middle
    for end in range(len(middle) + 1):
        before = b"\0" + prefix + middle[:end]
        counts = all_counts(corpus, b"\0" + suffix + before, before, floor=2)
        assert_says(recall, first + end, counts)
    suffix_at = ids.tolist().index(FIM_SUFFIX)
    alone = memory_of(corpus).recall([window(prefix)])
    assert_same(recall[:, 1:suffix_at], alone[:, : suffix_at - 1])
    assert (recall.symbols_BTM[:, suffix_at : suffix_at + len(suffix) + 1] == NO_CANDIDATE).all()


def test_a_document_that_is_read_in_pieces_stays_left_out() -> None:
    """BOS goes on to the next document, BOS_WITHIN does not: else a piece would be looked up in its own document."""
    corpus = [words(30, 1), words(30, 2), words(30, 3)]
    half = len(corpus[0]) // 2
    pieces = corpus[0][:half], corpus[0][half:]
    memory = CorpusMemory([build_shard([(str(n), text) for n, text in enumerate(corpus)])[0]], leave_out="document")

    def piece_after(mark: int) -> MemoryTensors:
        ids = np.array([BOS, *pieces[0], EOS, mark, *pieces[1]])
        return memory.recall([Window(ids, document=0)])[:, -len(pieces[1]) - 1 :]

    alone = memory.recall([Window(np.array([BOS, *pieces[1]]), document=0)])
    assert_same(piece_after(BOS_WITHIN), alone)
    next_one = memory.recall([Window(np.array([BOS, *pieces[1]]), document=1)])
    assert_same(piece_after(BOS), next_one)
    assert not torch.equal(next_one.bins_BTMJ, alone.bins_BTMJ)


def test_only_what_came_before_is_used() -> None:
    corpus, text = [words(20, 1)], bytearray(words(10, 2))
    memory = memory_of(corpus)
    before = memory.recall([window(bytes(text))])
    at = len(text) // 2
    text[at] = ord("#")
    after = memory.recall([window(bytes(text))])
    assert_same(before[:, : at + 1], after[:, : at + 1])
    assert not torch.equal(before.bins_BTMJ[:, at + 1 :], after.bins_BTMJ[:, at + 1 :])


def assert_same(left: MemoryTensors, right: MemoryTensors) -> None:
    assert torch.equal(left.symbols_BTM, right.symbols_BTM)
    assert torch.equal(left.bins_BTMJ, right.bins_BTMJ)
    assert torch.equal(left.lengths_BT2, right.lengths_BT2)
