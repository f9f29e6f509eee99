"""Reading a text piece by piece says what reading it at once says."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.test_memory_features import assert_same, memory_of
from multiscale_transformer.engine.infill import fim_ids
from multiscale_transformer.memory import reader as reader_module
from multiscale_transformer.memory.lookup import Window
from multiscale_transformer.memory.reader import MemoryReader
from multiscale_transformer.model.memory_tensors import joined
from multiscale_transformer.model.vocabulary import BOS
from tiny import words

MEMORY = memory_of([words(20, 1), words(20, 2)])


@given(cuts=st.lists(st.integers(1, 40), min_size=1, max_size=8), hole=st.booleans(), room=st.sampled_from([1, 64, 4096]))
@settings(max_examples=40, deadline=None)
def test_any_pieces_give_the_same(cuts: list[int], hole: bool, room: int) -> None:
    text = words(8, 3)
    ids = [*fim_ids(text[:80], text[130:]), *text[80:130]] if hole else [BOS, *text]
    whole = MEMORY.recall([Window(torch.tensor(ids).numpy())])
    before = reader_module.ROOM
    reader_module.ROOM = room
    try:
        reader, at, pieces = MemoryReader(MEMORY), 0, []
        for cut in [*cuts, len(ids)]:
            if at < len(ids):
                pieces.append(reader.read(ids[at : at + cut]))
                at += cut
    finally:
        reader_module.ROOM = before
    assert_same(joined(pieces), whole)
