"""Memories share the shards that they have in common, and whoever still reads keeps what is read alive."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np

from multiscale_transformer.memory.index import build_index, load_index, remove_documents, update_index
from multiscale_transformer.memory.lookup import open_memory
from multiscale_transformer.memory.reader import TextReader
from tiny import words

DOCUMENTS = [(f"{number}.py", words(200, number)) for number in range(4)]


def test_an_index_that_grew_shares_what_it_had(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS)
    before = open_memory([index.folder])
    index, _ = update_index(index, [("new.py", words(50, 9))])
    after = open_memory([index.folder])
    assert [shard is before.shards[0] for shard in after.shards] == [True, False]
    assert after.corpus.shards["next_N"][0] == before.corpus.shards["next_N"][0]


def test_removing_a_document_copies_no_rows(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS)
    first = open_memory([remove_documents(index, ["1.py"]).folder])
    second = open_memory([remove_documents(index, ["2.py"]).folder])
    for address in ("next_N", "checkpoints_C256", "documents_N", "text_N"):
        assert first.corpus.shards[address] == second.corpus.shards[address]
    assert first.nbytes == second.nbytes
    assert first.corpus.shards["gone_D"] != second.corpus.shards["gone_D"]


def test_a_shard_that_nobody_has_is_read_again(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS)
    known = id(index.shards[0].in_ram)
    assert id(load_index(index.folder).shards[0].in_ram) == known
    del index
    gc.collect()
    assert "in_ram" not in load_index(tmp_path / "index").shards[0].__dict__


def test_a_reader_outlives_every_other_use_of_its_memory(tmp_path: Path) -> None:
    build_index(tmp_path / "index", DOCUMENTS)
    ids = list(DOCUMENTS[2][1][:300])
    expected = TextReader(open_memory([tmp_path / "index"])).read(ids)
    readers = [TextReader(open_memory([tmp_path / "index"])) for _ in range(2)]
    remove_documents(load_index(tmp_path / "index"), [name for name, _ in DOCUMENTS[:3]])
    gc.collect()
    spoiled = [np.full(1 << 16, 255, np.uint8) for _ in range(200)]  # takes the place of whatever was freed
    for reader in readers:
        for ours, theirs in zip(reader.read(ids), expected, strict=True):
            assert (ours == theirs).all()
    del spoiled
