"""Which files of a folder are read: what git tracks and ignores, what the user says, and what is left out is told."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from trees import git, listed, read_sources, reasons, repository, write

from multiscale_transformer.data.selection import Selection
from multiscale_transformer.errors import AxlError


@pytest.fixture(autouse=True)
def _user_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def test_what_git_tracks_is_read_wherever_it_lies(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        ".gitignore": "*.log\n/dist/\nlocal.py\n",
        ".github/workflows/ci.yml": "on: push",
        "build/rules.py": "1",
        "dist/normal.py": "2",
        "local.py": "3",
        "src/venv/activate.py": "4",
        "target/a.rs": "5",
        ".hidden/deep/er/x.py": "6",
    }
    root = repository(tmp_path / "r", files)
    write(root, {"dist/untracked.py": "no", ".github/untracked.yml": "no", "src/venv/untracked.py": "no", ".idea/a.xml": "no"})
    write(root, {"other/local.py": "no", "build/new.py": "7", "node_modules/a/b.js": "no"})
    assert listed(root) == sorted([*(set(files) - {".gitignore"}), "build/new.py"])
    assert reasons(root) == {
        ".gitignore": "unknown suffix",
        ".github/untracked.yml": "skipped folder",
        ".idea": "skipped folder",
        "dist/untracked.py": "ignored by git",
        "node_modules": "skipped folder",
        "other/local.py": "ignored by git",
        "src/venv/untracked.py": "skipped folder",
    }


@pytest.mark.parametrize("version", [2, 3, 4, "split", "sha256", "damaged"])
def test_the_index_is_read_in_all_its_forms(version: object, tmp_path: Path) -> None:
    root = tmp_path / "r"
    if version == "sha256":
        subprocess.run(["git", "init", "-q", "--object-format=sha256", str(root)], check=True)
    repository(root, {"dist/a.py": "1", "dist/" + "long" * 40 + ".py": "2", ".gitignore": "dist\n", "é.py": "3"})
    if isinstance(version, int):
        git(root, "update-index", "--index-version", str(version))
    if version == 3:
        write(root, {"dist/later.py": "4"})
        git(root, "add", "-f", "-N", "dist/later.py")  # intent to add needs the extended flags of version 3
        (root / "dist/later.py").unlink()
    if version == "split":
        git(root, "update-index", "--split-index")
        write(root, {"dist/b.py": "5"})
        git(root, "add", "-f", "dist/b.py")
        (root / "dist/b.py").unlink()
    if version == "damaged":
        index = root / ".git" / "index"
        index.write_bytes(index.read_bytes()[:90])
        from multiscale_transformer.data.dropped import Dropped

        dropped = Dropped()
        assert listed(root, dropped=dropped) == ["é.py"]
        note = f"the index of the git repository {root} cannot be read (it is damaged); nothing counts as tracked"
        assert dropped.notes == [note]
    else:
        assert listed(root) == ["dist/a.py", "dist/" + "long" * 40 + ".py", "é.py"]


def test_all_that_git_excludes_is_dropped_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"gitconfig": "[include]\n\tpath = more # mine\n", "more": f'[core]\n\tExcludesFile = "{tmp_path}/mine"\n'})
    write(tmp_path, {"mine": "globalx.py\n", "xdg/git/ignore": "nowhere.py\n"})
    root = repository(tmp_path / "r", {"tracked.py": "1", ".gitignore": "tracked.py\nignored.py\n"})
    write(root, {".git/info/exclude": "info_ex.py\n/private/\n", "private/notes.md": "no", "info_ex.py": "no"})
    write(root, {"globalx.py": "no", "ignored.py": "no", "nowhere.py": "2", "deep/private/x.py": "3"})
    for user in (0, 65534):  # of a repository that belongs to someone else git says nothing at all
        for folder, _, names in os.walk(root):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, user, user) if os.geteuid() == 0 else None
        assert listed(root) == ["deep/private/x.py", "nowhere.py", "tracked.py"]
    (tmp_path / "gitconfig").unlink()
    assert listed(root) == ["deep/private/x.py", "globalx.py", "tracked.py"]
    (root / ".git/config").write_text(f"[core]\n\texcludesfile = {tmp_path}/mine\n")
    assert listed(root) == ["deep/private/x.py", "nowhere.py", "tracked.py"]


def test_axlignore_holds_everywhere(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a.py": "1", "keys/b.py": "2", "sub/c.py": "3", "sub/d.py": "4", "sub/x/d.py": "5"}
    root = repository(tmp_path / "r", files)
    write(root, {".axlignore": "/keys/\nd.py\n", "sub/.axlignore": "!/d.py\n"})
    assert listed(root) == ["a.py", "sub/c.py", "sub/d.py"]
    assert reasons(root)["keys"] == reasons(root)["sub/x/d.py"] == "ignored by .axlignore"
    assert listed(root / "sub") == ["c.py", "d.py"], "those of the folders above hold too"
    write(root, {"sub/keys/e.py": "6", ".axlignore": "keys/\n"})
    assert listed(root / "sub") == ["c.py", "d.py", "x/d.py"]
    plain = write(tmp_path / "p", {**files, ".axlignore": "sub\n"})
    assert listed(plain) == ["a.py", "keys/b.py"]


def test_include_and_exclude(tmp_path: Path) -> None:
    root = write(
        tmp_path / "r",
        {
            "a.py": "1",
            "data.weird": "2",
            "src/target/linker.py": "3",
            "src/target/notes.weird": "4",
            "node_modules/x/y.weird": "no",
            "tests/t.py": "5",
            ".gitignore": "*.sql\n/secret/\n",
            "schema.sql": "6",
            "secret/k.py": "7",
        },
    )
    assert listed(root) == ["a.py", "tests/t.py"]

    def select(include: list[str], exclude: list[str]) -> list[str]:
        return listed(root, selection=Selection.of(include, exclude))

    assert select(["*.weird"], []) == ["a.py", "data.weird", "tests/t.py"]
    assert select(["src/target/linker.py"], []) == ["a.py", "src/target/linker.py", "tests/t.py"]
    assert select(["target/"], []) == ["a.py", "src/target/linker.py", "src/target/notes.weird", "tests/t.py"]
    assert select(["./src/target/**/*.py"], []) == ["a.py", "src/target/linker.py", "tests/t.py"]
    assert select(["*.sql", "secret/"], ["tests"]) == ["a.py", "schema.sql", "secret/k.py"]
    assert select(["*.weird"], ["*.weird"]) == ["a.py", "tests/t.py"]
    assert reasons(root, selection=Selection.of([], ["tests"]))["tests"] == "excluded"
    selection = Selection.of(["*.sql"], ["tests/"])
    assert Selection.from_json(json.loads(json.dumps(selection.as_json()))) == selection
    assert listed(f"{root}/**/*.py", selection=Selection.of([], ["tests"])) == ["a.py", "secret/k.py", "src/target/linker.py"]
    for pattern in ("", "!", "# no"):
        with pytest.raises(AxlError, match=r"^--exclude .* is no pattern; write it as in a .gitignore"):
            Selection.of([], [pattern])


def test_what_is_dropped_is_told_with_its_reason(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"a.py": "1", "picture.png": b"\x89PNG", "build/out.py": "no", "htmlcov/index.html": "no"})
    (root / "link.py").symlink_to("a.py")
    (root / "folder").symlink_to(".")
    os.mkfifo(root / "pipe.py")
    assert reasons(root) == {
        "build": "skipped folder",
        "folder": "link",
        "htmlcov": "skipped folder",
        "link.py": "link",
        "picture.png": "unknown suffix",
        "pipe.py": "not a file",
    }
    only = write(tmp_path / "only", {"a.zzz": "1", "b.zzz": "2"})
    with pytest.raises(AxlError, match=r"only holds no source text \(dropped: 2 unknown suffix\); name a folder"):
        listed(only)


def test_kinds_of_source_text(tmp_path: Path) -> None:
    suffixes = ["mdx", "ino", "inl", "ipp", "mts", "cts", "jsonc", "prisma", "thrift", "hlsl", "wgsl", "adoc", "erb", "tfvars"]
    files: dict[str, str | bytes] = {f"a.{suffix}": "x" for suffix in suffixes}
    root = write(
        tmp_path, {**files, "tool": "#!/bin/sh\n", "LICENSE": "no", "prog": b"\x7fELF", ".profile": "no", "Justfile": "x"}
    )
    assert listed(root) == sorted([*files, "Justfile", "tool"])


def test_notebooks_are_read_as_their_cells(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "words"]},
        {"cell_type": "code", "source": "x = 1\n", "outputs": [{"data": {"image/png": "A" * 2_000_000}}]},
        {"cell_type": "code", "source": []},
    ]
    new, old = {"cells": cells, "nbformat": 4}, {"worksheets": [{"cells": [{"cell_type": "code", "input": ["y = 2"]}]}]}
    root = write(tmp_path, {"a.ipynb": json.dumps(new), "b.ipynb": json.dumps(old), "c.ipynb": "{", "d.ipynb": "[" * 100_000})
    write(root, {"e.ipynb": "[1]", "f.ipynb": '{"cells": [{"source": 3}]}'})
    assert dict(read_sources([root])) == {"a.ipynb": b"# Title\nwords\n\nx = 1\n", "b.ipynb": b"y = 2\n"}
    assert dict(read_sources([root / "b.ipynb"])) == {"b.ipynb": b"y = 2\n"}
