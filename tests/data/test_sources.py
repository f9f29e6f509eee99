import gzip
import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest
from trees import read_sources

from multiscale_transformer.data.named_sources import STDLIB
from multiscale_transformer.data.records import record_text
from multiscale_transformer.errors import AxlError


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def names(*paths: str | Path) -> list[str]:
    return [name for name, _ in read_sources(paths)]


@pytest.fixture(autouse=True)
def no_user_git_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture(params=["git", "pathspec"])
def repository(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository, read with git and, where git is not on the path, without."""
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    if request.param == "pathspec":
        monkeypatch.setenv("PATH", str(tmp_path))
    return root


def test_gitignore_is_honoured_at_every_level(repository: Path) -> None:
    write(
        repository,
        {
            ".gitignore": "*.txt\n/secret/\n!keep.txt\nlocal.py\n",
            "main.py": "1",
            "notes.txt": "2",
            "keep.txt": "3",
            "local.py": "4",
            "secret/key.py": "5",
            "package/secret/fine.py": "6",
            "package/.gitignore": "generated.py\n!notes.txt\n",
            "package/generated.py": "7",
            "package/notes.txt": "8",
            "package/deep/generated.py": "9",
            "package/other.txt": "10",
            "package/local.py": "11",
        },
    )
    assert names(repository) == ["keep.txt", "main.py", "package/notes.txt", "package/secret/fine.py"]
    assert names(repository / "package") == ["notes.txt", "secret/fine.py"]


def test_an_ignored_folder_can_be_named(repository: Path) -> None:
    write(repository, {".gitignore": "/data/\n", "main.py": "1", "data/a.py": "2"})
    assert names(repository) == ["main.py"]
    assert names(repository / "data") == ["a.py"]


def test_repositories_in_a_repository_are_read(repository: Path) -> None:
    write(repository, {"main.py": "1", "inner/a.py": "2", "inner/b.py": "3", "inner/.gitignore": "b.py"})
    (repository / "inner" / ".git").mkdir()
    write(repository, {"inner/.git/HEAD": "ref: refs/heads/main\n"})
    (repository / "inner" / ".git" / "objects").mkdir()
    (repository / "inner" / ".git" / "refs").mkdir()
    assert names(repository) == ["inner/a.py", "main.py"]


def test_tracked_files_that_were_deleted_are_no_error(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    write(tmp_path, {"a.py": "1", "b.py": "2", "ünï.py": "3"})
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    (tmp_path / "a.py").unlink()
    assert names(tmp_path) == ["b.py", "ünï.py"]


def test_a_folder_gives_the_source_text_that_people_wrote(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "b.rs": "fn",
            "a/Makefile": "all:",
            "a/X.PY": "1",
            "image.png": "no",
            "records.jsonl": "no",
            ".hidden/a.py": "no",
            "node_modules/a/index.js": "no",
            "a/__pycache__/a.py": "no",
            "venv/lib/a.py": "no",
            "build/a.py": "no",
            "lib/python3/site-packages/a.py": "no",
        },
    )
    assert dict(read_sources([tmp_path])) == {"a/Makefile": b"all:", "a/X.PY": b"1", "b.rs": b"fn"}


def test_links_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, {"outside/secret.py": "no", "tree/a.py": "1"})
    (tmp_path / "tree" / "file.py").symlink_to(tmp_path / "outside" / "secret.py")
    (tmp_path / "tree" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    assert names(tmp_path / "tree") == ["a.py"]
    subprocess.run(["git", "init", "-q", str(tmp_path / "tree")], check=True)
    assert names(tmp_path / "tree") == ["a.py"]


def test_a_file_is_one_document_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "words.dat").write_bytes(b"\x00\xff")
    assert list(read_sources([str(tmp_path / "words.dat")])) == [("words.dat", b"\x00\xff")]


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
def test_json_lines_give_a_document_a_record(ending: str, tmp_path: Path) -> None:
    records = [
        {"text": "one"},
        {"content": "two é"},
        {"code": "three", "prompt": "x"},
        {"prompt": "def f():\n", "canonical_solution": "    pass\n", "test": "x"},
        {"source_code": "a = 1", "target_code": "let a = 1;"},
    ]
    path = tmp_path / f"data{ending}"
    text = "\n\n".join(map(json.dumps, records)).encode()
    path.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    assert list(read_sources([path])) == [
        (f"data{ending}:1", b"one"),
        (f"data{ending}:3", "two é".encode()),
        (f"data{ending}:5", b"three"),
        (f"data{ending}:7", b"def f():\n    pass\n"),
        (f"data{ending}:9", b"Translate:\na = 1\nResult:\nlet a = 1;\n"),
    ]


@pytest.mark.parametrize("record", [[], "text", {}, {"text": 3}, {"prompt": "x"}, {"source_code": "x"}, None])
def test_records_without_text(record: object) -> None:
    assert record_text(record) is None


def test_globs_reach_into_folders(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "1", "x/b.py": "2", "x/y/c.py": "3", "x/y/d.js": "4", "x/data.jsonl": '{"text": "5"}'})
    assert names(f"{tmp_path}/**/*.py") == ["a.py", "x/b.py", "x/y/c.py"]
    assert names(f"{tmp_path}/x/*") == ["b.py", "data.jsonl:1"]
    assert names(tmp_path / "x" / "**") == ["b.py", "data.jsonl:1", "y/c.py", "y/d.js"]


def test_globs_do_not_reach_into_dependencies_or_through_links(tmp_path: Path) -> None:
    write(tmp_path, {"tree/a.py": "1", "tree/venv/b.py": "2", "tree/x/node_modules/c.py": "3", "outside/d.py": "4"})
    (tmp_path / "tree" / "loop").symlink_to(tmp_path / "tree")
    (tmp_path / "tree" / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "tree" / "file.py").symlink_to(tmp_path / "outside" / "d.py")
    assert names(f"{tmp_path}/tree/**/*.py") == ["a.py"]
    assert names(f"{tmp_path}/tree/venv/*.py") == ["b.py"]
    assert names(f"{tmp_path}/tree/*/node_modules/*") == ["x/node_modules/c.py"]


def test_a_path_that_looks_like_a_glob_but_exists_is_that_path(tmp_path: Path) -> None:
    write(tmp_path, {"[a]/b.py": "1", "a/c.py": "2"})
    assert names(tmp_path / "[a]") == ["b.py"]


def test_relative_globs_and_several_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {"a.py": "1", "x/b.py": "2"})
    assert names("*.py", "x") == ["a.py", "b.py"]


def test_stdlib_is_the_library_without_what_was_installed_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        {
            "ast.py": "1",
            "json/decoder.py": "2",
            "build/kept.py": "3",
            "README.md": "no",
            "site-packages/numpy/core.py": "no",
            "dist-packages/a.py": "no",
            "json/__pycache__/decoder.py": "no",
        },
    )
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    assert names(STDLIB) == ["ast.py", "build/kept.py", "json/decoder.py"]


def test_errors_say_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, {"bad.jsonl": '{"text": "a"}\n{"body": "b"}\n', "broken.jsonl": "{", "damaged.jsonl.gz": "no gzip"})
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 100)[:-12])
    for name, message in {
        "none": r"none does not exist; check the path",
        "empty": r"empty holds no source text; name a folder, file",
        "pipe": r"pipe is neither a file nor a folder",
        "*.zig": r"no file matches .*\*\.zig; quote the pattern",
        "bad.jsonl": r"bad\.jsonl line 2 has no text; a record needs one of text, content, code",
        "broken.jsonl": r"broken\.jsonl line 1 is not JSON",
        "damaged.jsonl.gz": r"cannot read .*damaged\.jsonl\.gz: Not a gzipped file",
        "cut.jsonl.gz": r"cannot read .*cut\.jsonl\.gz: ",
    }.items():
        with pytest.raises(AxlError, match=message) as caught:
            list(read_sources([tmp_path / name]))
        assert "\n" not in str(caught.value)
