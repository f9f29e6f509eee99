import random
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiscale_transformer.data import dedup
from multiscale_transformer.data.documents import Documents

WORDS = [a + b + c for a in "bdfgklmnprstvz" for b in "aeiou" for c in ("x", "t", "lo", "mi", "_n")]


def program(seed: int, lines: int = 60) -> list[str]:
    rng = random.Random(seed)
    return [f"    {rng.choice(WORDS)} = {rng.choice(WORDS)}({rng.choice(WORDS)}, {rng.randrange(99)})" for _ in range(lines)]


def documents_of(programs: list[list[str]]) -> Documents:
    return Documents.from_items((f"{number}.py", "\n".join(lines).encode()) for number, lines in enumerate(programs))


def edited(lines: list[str], seed: int, changes: int) -> list[str]:
    """`lines` with some lines replaced by others."""
    rng, lines = random.Random(seed), list(lines)
    for at in rng.sample(range(len(lines)), changes):
        lines[at] = f"    {rng.choice(WORDS)} = 'changed {rng.randrange(999)}'"
    return lines


def similarity(one: bytes, other: bytes) -> float:
    """The exact Jaccard similarity that MinHash estimates."""
    sets = []
    for text in (one, other):
        tokens = re.findall(r"\w+|[^\w\s]", text.decode())
        sets.append({tuple(tokens[at : at + 5]) for at in range(max(1, len(tokens) - 4))})
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def near_duplicates(documents: Documents, threshold: float = 0.7) -> list[int]:
    """The documents that are dropped, where the earlier of two stays."""
    return sorted(dedup.near_duplicates(documents, range(len(documents)), threshold))


def test_planted_near_duplicates_are_found_and_others_stay() -> None:
    originals = [program(seed) for seed in range(100)]
    twins = [edited(lines, seed, changes=3) for seed, lines in enumerate(originals)]
    documents = documents_of(originals + twins)
    assert min(similarity(documents[at], documents[at + 100]) for at in range(100)) > 0.8
    assert near_duplicates(documents) == list(range(100, 200))


@pytest.mark.parametrize(("changes", "expected"), [(1, True), (3, True), (12, False), (30, False)])
def test_agrees_with_the_exact_similarity(changes: int, expected: bool) -> None:
    lines = program(0)
    documents = documents_of([lines, edited(lines, 1, changes)])
    exact = similarity(documents[0], documents[1])
    assert abs(exact - 0.7) > 0.08, "too near the threshold to test an estimate"
    assert (exact >= 0.7) == expected
    assert near_duplicates(documents) == [1] * expected


def test_the_first_of_a_cluster_stays_and_what_stays_is_unlike() -> None:
    lines = program(0)
    chain = [lines]
    for step in range(12):  # each is like the one before, the last is unlike the first
        chain.append(edited(chain[-1], step, changes=3))
    documents = documents_of(chain)
    removed = near_duplicates(documents)
    stays = [index for index in range(len(chain)) if index not in removed]
    assert stays[0] == 0
    assert 1 < len(stays) < len(chain)
    alike = [similarity(documents[one], documents[other]) for one in stays for other in stays if one < other]
    assert max(alike) < 0.8


def test_many_half_alike_documents_do_not_hide_a_twin() -> None:
    lines = program(0)
    variants = [edited(lines, seed, changes=16) for seed in range(300)]
    twins = [edited(variant, 1000 + seed, changes=2) for seed, variant in enumerate(variants[:50])]
    assert near_duplicates(documents_of(variants + twins)) == list(range(300, 350))


def test_the_threshold_counts() -> None:
    lines = program(0)
    documents = documents_of([lines, edited(lines, 1, 3)])
    assert near_duplicates(documents, 0.5) == [1]
    assert near_duplicates(documents, 0.99) == []


@given(st.lists(st.text("ab=+() \n", max_size=12), max_size=8))
def test_short_documents_are_copies_only_when_their_tokens_are_equal(texts: list[str]) -> None:
    documents = Documents.from_items((str(number), text.encode()) for number, text in enumerate(texts))
    tokens = [tuple(re.findall(r"\w+|[^\w\s]", text)) for text in texts]
    removed = set(near_duplicates(documents))
    for index, own in enumerate(tokens):
        if own in tokens[:index]:
            assert index in removed
        elif len(own) <= 5:
            assert index not in removed


def test_operators_distinguish_short_functions() -> None:
    texts = [f"def f(a, b):\n    return a {sign} b\n".encode() for sign in "+-*/"]
    assert near_duplicates(Documents.from_items((str(number), text) for number, text in enumerate(texts))) == []


def test_neighbours_do_not_matter() -> None:
    """A document's tokens must not depend on the group of documents in which it is hashed."""
    programs = [program(seed, lines=1 + seed % 7) for seed in range(300)]
    twins = [*programs[:5], []]
    shifted = documents_of([["x" * 3], *programs, *twins])
    assert near_duplicates(shifted) == [*range(301, 306)]


def test_documents_longer_than_a_group() -> None:
    lines = program(0, lines=100_000)
    documents = documents_of([["short"], lines, ["other"], edited(lines, 1, 100), program(2, lines=100_000)])
    assert documents.nbytes > 3 << 20
    assert near_duplicates(documents) == [3]


def test_millions_of_bytes_are_hashed_by_operations_on_whole_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls from Python depend on the bytes, not on the documents or tokens, so that 30 MB take seconds."""
    calls: list[int] = []
    mixed = dedup._mixed
    monkeypatch.setattr(dedup, "_mixed", lambda hashes: calls.append(len(hashes)) or mixed(hashes))
    rng = np.random.default_rng(0)
    vocabulary = np.array(WORDS)
    documents = Documents.from_items((str(number), " ".join(rng.choice(vocabulary, 4000)).encode()) for number in range(400))
    assert documents.nbytes > 5e6
    assert near_duplicates(documents) == []
    groups = -(-documents.nbytes // (1 << 20))
    assert len(calls) <= (1 + dedup.SHINGLE) * (groups + 1)
    assert min(calls) > 10_000
