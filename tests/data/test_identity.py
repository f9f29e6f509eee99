"""A document is known by its place; duplicates and trees of one repository are read once, and the right one stays."""

import hashlib
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from trees import function, git, listed, reasons, repository, write

from multiscale_transformer.data.corpus import load_corpus, load_documents, split, stream_documents
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.named_sources import STDLIB
from multiscale_transformer.data.names import carried, native, shown
from multiscale_transformer.data.sources import source_of
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import Document


@pytest.fixture(autouse=True)
def _user_without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


def keys(*paths: Path | str) -> list[tuple[str, str]]:
    return sorted(document.key for document in stream_documents(paths))


# Sources


def test_each_document_knows_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"p/pkg/a.py": "1", "q/r.jsonl": '{"text": "2"}\n{"text": "3"}', "g/x/b.py": "4", "g/c.txt": "5"})
    monkeypatch.chdir(tmp_path)
    assert keys("p", "q/r.jsonl", "g/**/*.py", f"{tmp_path}/g/c.txt") == [
        (f"{tmp_path}/g", "c.txt"),
        (f"{tmp_path}/g", "x/b.py"),
        (f"{tmp_path}/p", "pkg/a.py"),
        (f"{tmp_path}/q", "r.jsonl:1"),
        (f"{tmp_path}/q", "r.jsonl:2"),
    ]
    named = {source_of(path) for path in ("p", "q/r.jsonl", "g/**/*.py")}
    assert named == {f"{tmp_path}/{name}" for name in "pqg"}
    assert {source for source, _ in keys(STDLIB)} == {source_of(STDLIB)} == {STDLIB}


def test_two_projects_with_the_same_names_are_all_read(tmp_path: Path) -> None:
    for number, project in enumerate(("one", "two")):
        write(tmp_path / project, {f"pkg/{name}.py": function(10 * number + index) for index, name in enumerate("abcd")})
    paths = [tmp_path / "one", tmp_path / "two"]
    assert len(keys(*paths)) == 8
    corpus = load_corpus(paths)
    both = [*corpus.train.documents(), *corpus.held_out.documents()]
    assert sorted(document.key for document in both) == keys(*paths)
    assert all(Path(source, name).read_bytes() == content for name, content, source in both)
    assert load_documents(paths).names == sorted(2 * [f"pkg/{name}.py" for name in "abcd"])


def test_what_several_paths_reach_is_read_once_under_the_outermost(tmp_path: Path) -> None:
    write(tmp_path, {"a/x.py": "1", "a/pkg/y.py": "2", "a/z.txt": "x = 1\n" * 300_000})
    (tmp_path / "alias").symlink_to("a")
    paths = [tmp_path / "a/pkg/y.py", tmp_path / "a/pkg", tmp_path / "a", tmp_path / "alias", f"{tmp_path}/a/**/*.py"]
    for order in (paths, paths[::-1]):
        assert [(document.key, document.content) for document in sorted(stream_documents(order))] == [
            ((f"{tmp_path}/a", "pkg/y.py"), b"2"),
            ((f"{tmp_path}/a", "x.py"), b"1"),
        ]
    named = keys(tmp_path / "a", tmp_path / "a/z.txt")
    assert (f"{tmp_path}/a", "z.txt") in named, "a file that is named is meant, however long"


def test_sources_of_documents(tmp_path: Path) -> None:
    gathered = Documents.from_items([("a", b"1"), Document("b", b"22", "/s")])
    assert gathered.sources == ["", "/s"]
    assert list(gathered) == [("a", b"1"), ("b", b"22")]
    assert list(gathered.subset([1]).documents()) == [Document("b", b"22", "/s")]
    assert gathered.sha256() == Documents.from_items([("b", b"22"), ("a", b"1")]).sha256(), "the same on every machine"
    with pytest.raises(ValueError, match="sources"):
        Documents(gathered.data, gathered.offsets, gathered.names, ["/s"])
    part = load_corpus([write(tmp_path, {"a.txt": "x = 1\n" * 100}) / "a.txt"])
    assert part.train.sources == part.held_out.sources == [str(tmp_path)]
    assert split(gathered).train.sources + split(gathered).held_out.sources in (["", "/s"], ["/s", ""])


# Copies


def test_an_index_gets_near_duplicates_and_one_of_exact_copies(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "deep/er/a.py": function(1),
        "b.py": function(1),
        "c.py": function(1, "near"),
        "d.py": "\0",
    }
    dropped = Dropped(listed=True)
    found = stream_documents([write(tmp_path, files)], dropped=dropped)
    assert [document.name for document in found] == ["b.py", "c.py"]
    assert dropped.counts == {"exact copy": 1, "binary": 1}
    assert f"{tmp_path}/deep/er/a.py\texact copy of {tmp_path}/b.py" in dropped.lines()


def test_of_near_duplicates_the_tracked_the_shallowest_the_newest_stays(tmp_path: Path) -> None:
    def kept(root: Path) -> list[str]:
        corpus = load_corpus([root])
        return sorted(name for name in corpus.train.names + corpus.held_out.names if "other" not in name)

    root = repository(tmp_path / "r", {"z/deep/now.py": function(1), "other.py": function(9), "other2.py": function(8)})
    write(root, {"a_backup.py": function(1, "old")})
    assert kept(root) == ["z/deep/now.py"]
    deep = {"a/b/old.py": function(1, "old"), "new.py": function(1), "other.py": function(9), "other2.py": function(8)}
    assert kept(write(tmp_path / "d", {**deep})) == ["new.py"]
    flat = write(tmp_path / "f", {"a_old.py": function(1, "old"), "b_new.py": function(1), "other.py": function(9)})
    os.utime(flat / "a_old.py", (1_000, 1_000))
    assert kept(flat) == ["b_new.py"]
    os.utime(flat / "b_new.py", (10, 10))
    assert kept(flat) == ["a_old.py"]
    dropped = Dropped(listed=True)
    load_corpus([flat], dropped=dropped)
    assert dropped.lines() == [f"{flat}/b_new.py\tnear-duplicate of {flat}/a_old.py"]


# Trees of one repository


def with_worktree(root: Path, tree: Path) -> None:
    git(root, "worktree", "add", "-q", str(tree), "-b", tree.name)


def test_a_linked_worktree_is_read_only_where_its_repository_is_not(tmp_path: Path) -> None:
    root = repository(tmp_path / "nw", {"src/panel.py": function(1), "src/rule.py": function(2)})
    with_worktree(root, root / "feature")
    with_worktree(root, tmp_path / "before")
    write(root, {"src/panel.py": function(1, "NEWNAME")})
    assert listed(root) == ["src/panel.py", "src/rule.py"]
    assert reasons(root)["feature"] == f"linked worktree of the repository in {root}"
    assert listed(tmp_path) == ["nw/src/panel.py", "nw/src/rule.py"]
    assert keys(root, tmp_path / "before") == [(str(root), "src/panel.py"), (str(root), "src/rule.py")]
    assert listed(root / "feature") == listed(tmp_path / "before") == ["src/panel.py", "src/rule.py"]
    (document,) = (document for document in load_documents([root]).documents() if document.name == "src/panel.py")
    assert b"NEWNAME" in document.content


def test_of_linked_trees_without_a_main_tree_one_is_read(tmp_path: Path) -> None:
    root = repository(tmp_path / "r", {"a.py": "1"})
    for name in ("x", "y"):
        with_worktree(root, tmp_path / "trees" / name)
    assert len(listed(tmp_path / "trees")) == 1


def test_a_submodule_is_a_repository_of_its_own(tmp_path: Path) -> None:
    other = repository(tmp_path / "other", {"text.py": function(1), ".hidden/x.py": function(2)})
    root = repository(tmp_path / "r", {"text.py": function(1), "main.py": function(3)})
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), ".github/sub")
    write(root, {".github/sub/untracked.py": "1"})
    assert listed(root) == [".github/sub/.hidden/x.py", ".github/sub/text.py", ".github/sub/untracked.py", "main.py", "text.py"]
    corpus = load_corpus([root])
    assert "text.py" in corpus.train.names + corpus.held_out.names


# One by one


def test_a_folder_is_not_held_in_memory(tmp_path: Path) -> None:
    block = 200_000
    for number in range(40):
        lines = (hashlib.sha256(f"{number} {line}".encode()).hexdigest() for line in range(block // 65))
        write(tmp_path, {f"{number}.txt": "\n".join(lines)})
    tracemalloc.start()
    try:
        assert sum(len(document.content) for document in stream_documents([tmp_path])) > 7_000_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_nothing_to_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match=r"no usable source text in .*: 1 files dropped \(1 binary\); name other paths"):
        list(stream_documents([write(tmp_path, {"a.py": b"\0"})]))


# What cannot be read


def test_one_unreadable_file_or_folder_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "r", {"a.py": function(1), "b.py": function(2), "secret.py": "no", "priv/c.py": "no"})
    scan, opened = os.scandir, os.open

    def refuse_folder(path: str) -> object:
        if str(path).endswith("priv"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    def refuse_file(path: str, *more: int, **named: int) -> int:
        if str(path).endswith("secret.py"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *more, **named)

    monkeypatch.setattr(os, "scandir", refuse_folder)
    monkeypatch.setattr(os, "open", refuse_file)
    dropped = Dropped(listed=True)
    assert [document.name for document in stream_documents([root], dropped=dropped)] == ["a.py", "b.py"]
    assert load_corpus([root]).dropped == {"unreadable": 2}
    assert dropped.lines() == [f"{root}/{name}\tunreadable (Permission denied)" for name in ("priv", "secret.py")]
    with pytest.raises(AxlError, match=r"cannot read .*secret\.py: Permission denied; make it readable or leave it out"):
        list(stream_documents([root / "secret.py"]))
    only = write(tmp_path / "only", {"secret.py": "no"})
    with pytest.raises(AxlError, match=r"1 files dropped \(1 unreadable\); make it readable or leave it out"):
        load_corpus([only])


# Names


def test_names_survive_any_bytes() -> None:
    for raw in (b"caf\xe9.py", "é.py".encode(), b"a\xff\xfe/b"):
        name = carried(os.fsdecode(raw))
        assert name.encode("utf-8", "surrogateescape") == raw
        assert os.fsencode(native(name)) == raw
        shown(name).encode()
    assert shown("caf\udce9\n\x1b[1mé") == "caf\\xe9\\n\\x1b[1mé"


NAMES = """
import sys
from multiscale_transformer.data.corpus import load_corpus
from multiscale_transformer.data.names import shown
corpus = load_corpus(sys.argv[1:])
both = [*corpus.train.documents(), *corpus.held_out.documents()]
print(sys.getfilesystemencoding(), corpus.sha256, sorted(ascii(name) for name, _, _ in both), ascii(both[0].source))
"""


def test_names_and_split_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    root = tmp_path / "ordnér"
    write(root, {"f.py": function(1), "é.py": function(2), "x/日本.py": function(3), ".gitignore": "ü*.py\n", "über.py": "no"})
    (root / os.fsdecode(b"caf\xe9.py")).write_text(function(4))
    answers = []
    for locale in ({"PYTHONUTF8": "1"}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        command = [sys.executable, "-c", NAMES, str(root)]
        done = subprocess.run(command, env={**os.environ, **locale}, capture_output=True, text=True, check=True)
        answers.append(done.stdout.split(" ", 1))
    assert [encoding for encoding, _ in answers] == ["utf-8", "ascii"]
    assert answers[0][1] == answers[1][1]
    assert r"caf\\udce9.py" in answers[0][1]
