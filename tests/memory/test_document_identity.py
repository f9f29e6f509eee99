"""A document is known by its source and its path in it: projects with the same file names live in one index and stay apart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import Document, path_of, shown_sources
from multiscale_transformer.memory.index import (
    MANIFEST_FILE,
    build_index,
    check_index,
    load_index,
    merge_index,
    remove_documents,
    update_index,
)
from multiscale_transformer.memory.lookup import open_memory
from multiscale_transformer.memory.provenance import provenance
from multiscale_transformer.memory.shard import DOCUMENTS_FILE
from multiscale_transformer.memory.update import Changes
from tiny import names_in, words

P1, P2 = "/work/P1", "/work/P2"


def project(source: str, seed: int = 0, count: int = 4) -> list[Document]:
    return [Document(f"pkg/{name}.py", words(8, seed + number), source) for number, name in enumerate("abcdef"[:count])]


BOTH = [*project(P1), *project(P2, 100)]


def test_two_projects_with_the_same_file_names_settle(tmp_path: Path) -> None:
    """Defect D1: an update that changed nothing replaced one project's files by the other's, and so for ever."""
    index = build_index(tmp_path / "index", BOTH, [P1, P2])
    assert list(index) == BOTH
    for _ in range(2):
        index, changes = update_index(index, BOTH, [P1, P2])
        assert changes == Changes(0, 0, 0, 8)
        assert len(index.shards) == 1


def test_a_second_project_is_added_beside_the_first(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", project(P1), [P1])
    index, changes = update_index(index, iter(project(P2, 100)), [P2])
    assert changes == Changes(4, 0, 0, 0)
    assert list(index) == BOTH
    assert index.sources == [P1, P2]
    assert list(load_index(merge_index(index).folder)) == BOTH


def test_pruning_touches_the_sources_of_the_update_alone(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", BOTH, [P1, P2])
    index, changes = update_index(index, BOTH[5:], [P2], prune=True)
    assert changes == Changes(0, 0, 1, 3)
    assert list(index) == [*BOTH[:4], *BOTH[5:]]
    index, changes = update_index(index, [], [P1], prune=True)  # nothing is left of it
    assert changes == Changes(0, 0, 4, 0)
    assert list(index) == BOTH[5:]


def without_sources(folder: Path) -> None:
    """Make an index what earlier versions wrote."""
    for path in folder.glob(f"shard-*/{DOCUMENTS_FILE}"):
        fields = json.loads(path.read_text())
        del fields["sources"], fields["source"]
        path.write_text(json.dumps(fields))


def test_documents_of_an_earlier_version_are_adopted_once(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", project(P1), [P1])
    without_sources(index.folder)
    index = load_index(index.folder)
    assert {document.source for document in index} == {""}
    changed = [*project(P1)[:2], Document("pkg/c.py", words(9, 50), P1)]
    index, changes = update_index(index, [*changed, *project(P2, 100)], [P1, P2])
    assert changes == Changes(4, 1, 0, 2)
    assert {(one.source, one.name, one.content) for one in index} >= {
        (P1, "pkg/c.py", words(9, 50)),
        *((P2, d.name, d.content) for d in BOTH[4:]),
    }
    index, changes = update_index(index, [*changed, *project(P2, 100)], [P1, P2])
    assert changes == Changes(0, 0, 0, 7)
    index, changes = update_index(index, [*changed, *project(P2, 100)], [P1, P2], prune=True)
    assert changes == Changes(0, 0, 1, 7)  # P1 has no pkg/d.py any more


def test_the_same_text_is_not_added_once_more(tmp_path: Path) -> None:
    text = words(8, 1)
    index = build_index(tmp_path / "index", [Document("old.py", text, P1)], [P1])
    moved = [Document("new.py", text, P1)]
    for _ in range(2):
        index, changes = update_index(index, moved, [P1])
        assert changes == Changes(0, 0, 0, 0, copies=1)
        assert [one.name for one in index] == ["old.py"]
    index, changes = update_index(index, moved, [P1], prune=True)
    assert changes == Changes(1, 0, 1, 0)
    assert list(index) == moved
    index, changes = update_index(index, moved, [P1], prune=True)
    assert changes == Changes(0, 0, 0, 1)


def test_two_texts_that_change_places_are_both_there(tmp_path: Path) -> None:
    one, two = words(8, 1), words(8, 2)
    index = build_index(tmp_path / "index", [Document("a.py", one, P1), Document("b.py", two, P1)], [P1])
    turned = [Document("a.py", two, P1), Document("b.py", one, P1)]
    index, changes = update_index(index, turned, [P1])
    assert changes == Changes(0, 2, 0, 0)
    assert list(index) == turned
    assert update_index(index, turned, [P1])[1] == Changes(0, 0, 0, 2)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("/work/P1/pkg/a.py", {"P1": 3, "P2": 4}),
        ("P1/pkg/a.py", {"P1": 3, "P2": 4}),
        ("/work/P2", {"P1": 4}),
        ("only.py", {"P1": 4, "P2": 4}),
    ],
)
def test_a_document_is_removed_by_its_path_and_a_source_as_a_whole(given: str, left: dict[str, int], tmp_path: Path) -> None:
    documents = [*BOTH, Document("only.py", words(5, 500), "")] if given == "only.py" else BOTH
    index = remove_documents(build_index(tmp_path / "index", documents), [given])
    names = [Path(document.source).name for document in index]
    assert {name: names.count(name) for name in set(names)} == left


def test_a_name_that_two_have_is_refused_with_both(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", BOTH)
    with pytest.raises(AxlError, match=r"pkg/a.py may be any of /work/P1/pkg/a.py, /work/P2/pkg/a.py; give the whole"):
        remove_documents(index, ["pkg/a.py"])
    with pytest.raises(AxlError, match="may be any of"):
        remove_documents(index, ["a.py"])
    assert len(load_index(index.folder)) == 8


def test_sources_are_told_apart_with_as_little_as_it_takes() -> None:
    assert shown_sources(["/a/P1", "/a/P2", "stdlib"]) == {"/a/P1": "P1", "/a/P2": "P2", "stdlib": "stdlib"}
    assert shown_sources(["/a/P", "/b/P", "/a/Q"]) == {"/a/P": "a/P", "/b/P": "b/P", "/a/Q": "Q"}
    assert shown_sources(["/P", "/a/P"]) == {"/P": "/P", "/a/P": "a/P"}
    assert path_of("/a/one.py", "one.py") == "/a/one.py"
    assert path_of("", "one.py") == "one.py"


def test_a_completion_says_which_project_it_stands_in(tmp_path: Path) -> None:
    licensed = [
        Document("a.py", b"# licence: %s\n" % name + words(40, 7 + at), f"/x/{name.decode()}")
        for at, name in enumerate([b"P1", b"P2"])
    ]
    memory = open_memory([build_index(tmp_path / "index", licensed).folder])
    for document, name in zip(licensed, ("P1/a.py", "P2/a.py"), strict=True):
        found = provenance(memory, b"", document.content[20:200])
        assert [source.name for source in found] == [name]
        assert found[0].licence == document.content.split(b"\n")[0].decode().strip("# ")
    alone = open_memory([build_index(tmp_path / "file", [Document("one.py", words(40, 3), "/x/one.py")]).folder])
    assert provenance(alone, b"", words(40, 3)[:150])[0].name == "one.py"


def test_runs_of_spaces_come_from_nowhere(tmp_path: Path) -> None:
    text = b"if here:" + b" " * 60 + b"\n" + b"def something(argument):\n    return argument\n"
    memory = open_memory([build_index(tmp_path / "index", [("a.py", text)]).folder])
    assert provenance(memory, b"x", b"y" + b" " * 40) == []
    assert provenance(memory, text[:30], text[30:60]) == []
    (source,) = provenance(memory, b"x", b"def something(argument):\n" + b" " * 20)
    assert source.line == 2


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9.py"), "caf\u00e9.py"])
def test_names_that_are_no_utf_8_are_indexed(name: str, tmp_path: Path) -> None:
    """Defect D4."""
    document = Document(name, words(8), os.fsdecode(b"/x/\xff"))
    index = build_index(tmp_path / "index", [document], [document.source])
    assert list(load_index(index.folder)) == [document]
    index, changes = update_index(index, [document], [document.source])
    assert changes == Changes(0, 0, 0, 1)
    assert index.sources == [document.source]


UPDATING = """
import sys, time
from pathlib import Path
from multiscale_transformer.memory.index import load_index, update_index
index = load_index(Path(sys.argv[1]))
def documents():
    print("reading", flush=True)
    sys.stdin.readline()
    yield "b.py", b"beta = 2\\n"
update_index(index, documents())
"""


def test_the_second_of_two_updates_is_refused_and_none_is_lost(tmp_path: Path) -> None:
    """Defect 3.11: both wrote the same shard, and one's documents were gone."""
    index = build_index(tmp_path / "index", [("a.py", b"alpha = 1\n")])
    first = subprocess.Popen(
        [sys.executable, "-c", UPDATING, index.folder], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "reading\n"
    for change in (
        lambda: update_index(index, [("c.py", b"c = 3\n")]),
        lambda: merge_index(index),
        lambda: remove_documents(index, ["a.py"]),
    ):
        with pytest.raises(AxlError, match=rf"index is being written by .*process {first.pid} on"):
            change()
    first.communicate("\n")
    assert first.returncode == 0
    index, _ = update_index(index, [("c.py", b"gamma = 3\n")])  # `index` was loaded before the first one's update
    assert sorted(name for name, _ in index.documents()) == ["a.py", "b.py", "c.py"]
    check_index(index)
    assert names_in(tmp_path) == {"index", *(f"index/{name}" for name in names_in(index.folder))}


def test_an_open_index_is_read_on_when_its_files_are_gone(tmp_path: Path) -> None:
    """Defect 3.3: provenance of a finished answer failed after a merge."""
    index = build_index(tmp_path / "index", BOTH)
    index, _ = update_index(index, [Document("more.py", words(30, 70), P1)])
    memory = open_memory([index.folder])
    merge_index(index)
    assert not (index.folder / "shard-0001").exists()
    assert provenance(memory, b"", words(30, 70)[:150])[0].name == "P1/more.py"
    assert list(index)[-1].content == words(30, 70)


def test_a_reader_that_meets_a_merge_reads_the_merged_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from multiscale_transformer.memory import index as module

    index = build_index(tmp_path / "index", BOTH[:4])
    index, _ = update_index(index, BOTH[4:])
    read, merges = module._read_manifest, []

    def then_merged(folder: Path) -> dict[str, object]:
        fields = read(folder)
        if not merges:
            merges.append(1)
            merge_index(index)
        return fields

    monkeypatch.setattr(module, "_read_manifest", then_merged)
    assert list(load_index(index.folder)) == BOTH
    assert merges


def test_what_killed_commands_left_is_removed_by_the_next(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", BOTH[:4])
    (index.folder / "shard-0002").mkdir()
    (index.folder / ".shard-0002.x.tmp").mkdir()
    index, _ = update_index(index, BOTH[4:])
    assert {path.name for path in index.folder.iterdir()} == {MANIFEST_FILE, "shard-0001", "shard-0002"}
    assert list(index) == BOTH


def test_many_small_updates_need_a_merge(tmp_path: Path) -> None:
    index = build_index(tmp_path / "index", BOTH[:1])
    assert not index.needs_merge
    for document in BOTH[1:3]:
        assert not index.needs_merge
        index, _ = update_index(index, [document])
    assert index.needs_merge
    assert not merge_index(index).needs_merge
