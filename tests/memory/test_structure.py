"""The structural part of an index holds the places of every key, sorted by what follows, and a key is of what came before."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from memory.plain_structure import keys_at
from multiscale_transformer.kernels.structure_keys import new_line
from multiscale_transformer.kernels.structure_search import SORTED_BYTES, is_left_out, keys_of_places, places_under
from multiscale_transformer.memory import structure
from multiscale_transformer.memory.in_ram import corpus_in_ram
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.memory_spec import CORPUS_STRUCTURES, NUM_CORPUS_STRUCTURES
from tiny import words

TEXT = st.text("ab1(,) \n\t=", max_size=120).map(str.encode)


@njit  # not one of ours: what counts as compiled is theirs
def places_of(corpus, kind, key):
    """What the kernels find in the first shard."""
    return places_under(corpus, 0, kind, key)


@njit
def left_out(corpus, shard, place, own_group):
    return is_left_out(corpus, shard, place, own_group)


def keys_of(text: bytes, places: list[int]) -> np.ndarray:
    keys_KM = np.empty((NUM_CORPUS_STRUCTURES, len(places)), np.uint32)
    keys_of_places(np.frombuffer(text, np.uint8), np.array(places, np.int32), new_line(), keys_KM)
    return keys_KM


@given(text=TEXT)
@settings(max_examples=100, deadline=None)
def test_equal_keys_are_places_of_the_same_kind(text: bytes) -> None:
    text = b"\0" + text + b"\0"
    places = [place for place in range(1, len(text)) if not chr(text[place - 1]).isalnum()]
    keys_KM, plain = keys_of(text, places), [keys_at(text, place) for place in places]
    for kind, of_kind in enumerate(CORPUS_STRUCTURES):
        of_keys: dict[object, set[int]] = {}
        for key, described in zip(keys_KM[kind].tolist(), plain, strict=True):
            of_keys.setdefault(described[of_kind], set()).add(key)
        assert all(len(keys) == 1 for keys in of_keys.values())
        assert len(set(keys_KM[kind].tolist())) == len(of_keys)  # 32 bits of a few places do not collide


@given(text=TEXT, other=TEXT)
@settings(max_examples=50, deadline=None)
def test_a_key_is_of_what_came_before_and_of_nothing_kept_from_elsewhere(text: bytes, other: bytes) -> None:
    text = b"\0" + text + b"\n"
    places = list(range(1, len(text) + 1))
    along = keys_of(text + other, places)
    assert (along == keys_of(text + b"\0" * len(other), places)).all()
    for number, place in enumerate(places):
        assert (along[:, number] == keys_of(text, [place])[:, 0]).all()


@given(texts=st.lists(TEXT, min_size=1, max_size=4))
@settings(max_examples=50, deadline=None)
def test_all_places_of_a_key_are_found_and_sorted_by_what_follows(texts: list[bytes]) -> None:
    text = b"\0" + b"".join(content + b"\0" for content in texts)
    shard, _ = build_shard([("", content) for content in texts])
    made, in_ram = shard.structure, corpus_in_ram([shard])
    places = [
        place
        for place in range(1, len(text))
        if not chr(text[place - 1]).isalnum() and text[place : place + 1] not in (b" ", b"\t")
    ]
    keys_KM = keys_of(made.text_N.tobytes(), places)
    for kind in range(NUM_CORPUS_STRUCTURES):
        for key in set(keys_KM[kind].tolist()):
            low, high = places_of(in_ram.corpus, kind, np.uint32(key))
            found = made.places_X[low:high].tolist()
            assert sorted(found) == [place for place, other in zip(places, keys_KM[kind].tolist(), strict=True) if other == key]
            following = [made.text_N[place : place + SORTED_BYTES].tobytes() for place in found]
            assert following == sorted(following)


def test_of_a_key_with_many_places_an_even_share_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"".join(b"x%03d\n" % number for number in range(1000))
    text = b"\0" + content + b"\0"
    monkeypatch.setattr(structure, "KEPT_PLACES", 50)
    shard, _ = build_shard([("", content)])
    in_ram = corpus_in_ram([shard])
    place = text.index(b"x500")
    low, high = places_of(in_ram.corpus, 2, keys_of(text, [place])[2, 0])  # the line so far: nothing
    kept = [int(text[place + 1 : place + 4]) for place in shard.structure.places_X[low:high]]
    assert len(kept) == 50
    assert max(np.diff([0, *kept, 999])) <= 21


def test_places_of_removed_documents_and_of_ones_own_group_are_left_out() -> None:
    shards = [build_shard([(str(number), words(5, number)) for number in range(first, first + 3)])[0] for first in (0, 3)]
    groups = [0, 1, 0, 3, 4, 0]
    in_ram = corpus_in_ram(shards, [(), (1,)], np.split(np.array(groups, np.int32), [3]))
    for number, shard in enumerate(shards):
        for own in (-1, *set(groups)):
            for document in range(3):
                places = range(int(shard.starts[document]), int(shard.starts[document + 1]))
                expected = (number, document) == (1, 1) or own == groups[3 * number + document]
                assert {left_out(in_ram.corpus, number, place, own) for place in places} == {expected}
