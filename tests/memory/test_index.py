"""An index is whole at every moment: it grows, loses documents and is merged without changing what the rest says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import (
    FORMAT,
    MANIFEST_FILE,
    Index,
    build_index,
    check_index,
    load_index,
    merge_index,
    remove_documents,
    update_index,
)
from multiscale_transformer.memory.lookup import CorpusMemory, Window, open_memory
from multiscale_transformer.memory.shard import NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE, build_shard
from multiscale_transformer.memory.structure import STRUCTURE_FILES
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.vocabulary import BOS
from tiny import names_in, words

DOCUMENTS = [(f"{number}.py", words(8, number)) for number in range(5)]
HIGH = slice(6, 12)  # sources of high orders, whose counts stay below the number of samples
QUESTION = [Window(np.array([BOS, *words(6, 99)]))]


def says(index: Index) -> MemoryTensors:
    return open_memory([index.folder]).recall(QUESTION)


def fresh(documents: list[tuple[str, bytes]]) -> MemoryTensors:
    return CorpusMemory([build_shard(documents)[0]]).recall(QUESTION)


def same(left: MemoryTensors, right: MemoryTensors) -> bool:
    parts = ("symbols_BTM", "bins_BTMJ", "lengths_BT2")
    return all(torch.equal(getattr(left, part), getattr(right, part)) for part in parts)


@given(st.lists(st.text("ab\n", max_size=12).map(str.encode), min_size=1, max_size=4))
@settings(max_examples=100, deadline=None)
def test_rows_stand_in_the_order_of_their_contexts(contents: list[bytes]) -> None:
    shard, _ = build_shard((str(number), content) for number, content in enumerate(contents))
    text = b"\0" + b"\0".join(contents) + b"\0"
    places = [len(text) - int(suffix) for suffix in shard.suffixes_N]
    assert sorted(places) == list(range(1, len(text) + 1))
    contexts = [text[:place][::-1] for place in places]
    assert contexts == sorted(contexts)
    for row, place in enumerate(places):
        if place < len(text):
            assert shard.next_N[row] == text[place]
            document, offset = shard.place(row)
            assert (contents[document] + b"\0")[offset] == text[place]
            assert shard.document_of_row[row] == document


def test_a_saved_index_is_read_back(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS, ["here"])
    assert list(index.documents()) == DOCUMENTS
    assert index.sources == ["here"]
    assert index.nbytes == sum(len(content) for _, content in DOCUMENTS)
    assert same(says(index), fresh(DOCUMENTS))
    check_index(index)


def test_an_index_takes_at_most_eight_bytes_a_byte(tmp_path: Path) -> None:
    """Of text that looks like source code; names and the like weigh nothing on real corpora."""
    documents = [(str(number), words(3000, number)) for number in range(2)]
    index = build_index(tmp_path / "index", documents)
    assert sum(path.stat().st_size for path in index.folder.rglob("*") if path.is_file()) <= 8 * index.nbytes


def test_an_update_adds_replaces_and_prunes(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS[:3])
    changed = [DOCUMENTS[0], (DOCUMENTS[1][0], b"replaced = True\n"), DOCUMENTS[4]]
    index, changes = update_index(index, changed)
    assert (changes.added, changes.replaced, changes.removed, changes.unchanged) == (1, 1, 0, 1)
    assert dict(index.documents()) == dict([*changed, DOCUMENTS[2]])
    index, changes = update_index(index, changed, prune=True)
    assert (changes.added, changes.replaced, changes.removed, changes.unchanged) == (0, 0, 1, 3)
    assert dict(index.documents()) == dict(changed)
    assert dict(load_index(index.folder).documents()) == dict(changed)


def test_an_update_with_nothing_new_writes_nothing(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS)
    before = {name: (index.folder / name).stat().st_mtime_ns for name in names_in(index.folder)}
    update_index(index, DOCUMENTS)
    assert {name: (index.folder / name).stat().st_mtime_ns for name in names_in(index.folder)} == before


def test_a_removed_document_says_nothing_more(tmp_path: Path) -> None:
    """Where all occurrences are looked at; among many, the removed ones still take their share of the samples."""
    documents = [(name, content[:60]) for name, content in DOCUMENTS]
    index = remove_documents(build_index(tmp_path / "index", documents), ["1.py", "3.py"])
    kept = [document for document in documents if document[0] not in ("1.py", "3.py")]
    assert torch.equal(says(index).bins_BTMJ[..., HIGH].amax(2), fresh(kept).bins_BTMJ[..., HIGH].amax(2))
    assert len(index) == 3


def test_merging_says_the_same_and_leaves_one_shard(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS[:2])
    index, _ = update_index(index, DOCUMENTS[2:])
    index = remove_documents(index, ["0.py"])
    assert len(index.shards) == 2
    index = merge_index(index)
    assert len(index.shards) == 1
    assert same(says(index), fresh(DOCUMENTS[1:]))
    assert {path.name for path in index.folder.iterdir()} == {MANIFEST_FILE, *index.folders}


def test_a_corpus_too_large_for_one_shard_gets_several(tmp_path: Path) -> None:
    most = 2 * len(DOCUMENTS[0][1])
    index = build_index(tmp_path / "index", DOCUMENTS, shard_bytes=most)
    assert len(index.shards) > 1
    assert max(len(shard.next_N) for shard in index.shards) <= most
    assert list(index.documents()) == DOCUMENTS
    assert len(merge_index(index).shards) == 1


def test_a_killed_update_leaves_the_index_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS[:3])

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("multiscale_transformer.memory.index._write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        update_index(index, DOCUMENTS)
    monkeypatch.undo()
    assert list(load_index(index.folder).documents()) == DOCUMENTS[:3]
    index, _ = update_index(load_index(index.folder), DOCUMENTS)
    assert list(index.documents()) == DOCUMENTS


def test_a_killed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("multiscale_transformer.memory.index._write_manifest", killed)
    with pytest.raises(KeyboardInterrupt):
        build_index(tmp_path / "index", DOCUMENTS)
    assert not names_in(tmp_path)


def damage(folder: Path, what: str) -> None:
    manifest, shard = folder / MANIFEST_FILE, folder / "shard-0001"
    if what == "no manifest":
        manifest.unlink()
    elif what == "manifest":
        manifest.write_text("{")
    elif what == "foreign":
        manifest.write_text('{"name": "something else"}')
    elif what == "version":
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    elif what == "entries":
        manifest.write_text(json.dumps({"format": FORMAT, "shards": 3, "sources": []}))
    elif what == "no shard":
        (shard / SUFFIXES_FILE).unlink()
    elif what == "cut short":
        path = shard / NEXT_FILE
        path.write_bytes(path.read_bytes()[:-10])
    elif what == "no structure":
        (shard / STRUCTURE_FILES[0]).unlink()
    elif what == "structure cut short":
        np.save(shard / "checks.npy", np.load(shard / "checks.npy")[:-1])
    elif what == "places beyond the text":
        places = np.load(shard / "places.npy")
        np.save(shard / "places.npy", np.where(places == places.max(), 1 << 30, places).astype(np.int32))
    elif what == "buckets out of order":
        buckets = np.load(shard / "buckets.npy")
        buckets[:, 5] = buckets[:, -1] + 1
        np.save(shard / "buckets.npy", buckets)
    else:
        (shard / TEXTS_FILE).write_bytes(b"")


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("no manifest", "there is no index in"),
        ("manifest", "is damaged"),
        ("foreign", "is not the manifest of an AXL index"),
        ("version", "another version of AXL"),
        ("entries", "is damaged"),
        ("no shard", "is damaged"),
        ("cut short", "is damaged"),
        ("texts", "is damaged"),
        ("no structure", "is damaged"),
        ("structure cut short", "is damaged"),
        ("places beyond the text", "is damaged"),
        ("buckets out of order", "is damaged"),
    ],
)
def test_a_damaged_index_is_refused_in_a_line(what: str, line: str, tmp_path: Path) -> None:
    build_index(tmp_path / "index", DOCUMENTS)
    damage(tmp_path / "index", what)
    with pytest.raises(AxlError, match=line) as caught:
        load_index(tmp_path / "index")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [NEXT_FILE, SUFFIXES_FILE, TEXTS_FILE, *STRUCTURE_FILES])
def test_a_check_finds_a_single_wrong_byte(name: str, tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", DOCUMENTS)
    path = index.folder / "shard-0001" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(AxlError, match=name):
        check_index(load_index(index.folder))


@pytest.mark.parametrize("documents", [[], [("binary", b"a\0b")]])
def test_what_cannot_be_indexed_leaves_no_folder(documents: list[tuple[str, bytes]], tmp_path: Path) -> None:
    with pytest.raises(AxlError):
        build_index(tmp_path / "index", documents)
    assert not names_in(tmp_path)


def test_an_existing_folder_is_not_written_over(tmp_path: Path) -> None:
    build_index(tmp_path / "index", DOCUMENTS[:1])
    with pytest.raises(AxlError, match="already exists"):
        build_index(tmp_path / "index", DOCUMENTS)
    with pytest.raises(AxlError, match="no document"):
        remove_documents(load_index(tmp_path / "index"), ["other.py"])


def test_several_indexes_are_one_memory(tmp_path: Path) -> None:
    first, second = build_index(tmp_path / "a", DOCUMENTS[:2]), build_index(tmp_path / "b", DOCUMENTS[2:])
    together = open_memory([first.folder, second.folder]).recall(QUESTION)
    assert torch.equal(together.bins_BTMJ[..., HIGH].amax(2), fresh(DOCUMENTS).bins_BTMJ[..., HIGH].amax(2))
