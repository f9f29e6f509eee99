"""Reading a folder never runs anything in it, never waits and never takes all memory: it may have come as an archive.

Each attack on git is first shown to work on git itself, so that the test could fail.
"""

import gzip
import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import QUIET, git, listed, read_sources, reasons, repository, write

from multiscale_transformer.data import git_index, records
from multiscale_transformer.data.dropped import Dropped
from multiscale_transformer.data.git_index import UnreadableIndexError, tracked_names
from multiscale_transformer.data.sources import list_sources, read_source
from multiscale_transformer.errors import AxlError

LISTING = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that its owner may change in any way before it is read."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    return repository(tmp_path / "evil", {"a.py": "1\n", "b.py": "2\n"})


def read_without_processes(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is read below `root`, with every way to start a process barred."""

    def barred(*_: object, **__: object) -> None:
        raise AssertionError("reading started a process")

    with monkeypatch.context() as patch:
        for name in ("fork", "posix_spawn", "posix_spawnp", "execve", "system", "popen"):
            patch.setattr(os, name, barred)
        patch.setattr(subprocess, "Popen", barred)
        return [name for name, _ in read_sources([root])]


ATTACKS = {
    "fsmonitor": ("[core]\n\tfsmonitor = \"{command}; false\"\n", LISTING),
    "included": ("[include]\n\tpath = evil.inc\n", LISTING),
    "included if": ("[includeIf \"gitdir:**\"]\n\tpath = evil.inc\n", LISTING),
    "filter": ("[filter \"evil\"]\n\tclean = {command}; cat\n", ("status",)),
    "textconv": ("[diff \"evil\"]\n\ttextconv = {command}; cat\n", ("--no-pager", "diff")),
    "external diff": ("[diff]\n\texternal = {command}; true\n", ("--no-pager", "diff")),
    "alias": ("[alias]\n\tlisted = \"!{command}\"\n", ("listed",)),
    "editor": ("[core]\n\teditor = {command}; false\n", ("commit", "--amend")),
    "ssh command": ("[core]\n\tsshCommand = {command}; false\n[remote \"origin\"]\n\turl = h:x\n", ("fetch",)),
    "credential helper": ("[credential]\n\thelper = \"!{command}\"\n", ("credential", "fill")),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_configuration_is_never_run(attack: str, hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = hostile.parent / "PWNED"
    config, words = ATTACKS[attack]
    (hostile / ".git/evil.inc").write_text(f'[core]\n\tfsmonitor = "touch {marker}; false"\n')
    with (hostile / ".git/config").open("a") as file:
        file.write(config.format(command=f"touch {marker}"))
    if attack in ("filter", "textconv"):
        (hostile / ".gitattributes").write_text("*.py filter=evil diff=evil\n")
    (hostile / "a.py").write_text("3\n")
    assert read_without_processes(hostile, monkeypatch) == ["a.py", "b.py"]
    assert not marker.exists()
    asked = "protocol=https\nhost=h\n\n" if attack == "credential helper" else None
    subprocess.run(["git", "-C", hostile, *QUIET, *words], input=asked, check=False, capture_output=True, text=True, timeout=30)
    assert marker.exists(), "the attack is none"


def test_hooks_are_never_run(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = hostile.parent / "PWNED"
    hook = f"#!/bin/sh\ntouch {marker}\n"
    for place in (".git/hooks/post-index-change", "hooks/post-index-change"):
        write(hostile, {place: hook})
        (hostile / place).chmod(0o755)
    os.utime(hostile / "a.py", (1, 1))
    assert read_without_processes(hostile, monkeypatch) == ["a.py", "b.py", "hooks/post-index-change"]
    assert not marker.exists()
    git(hostile, "status")
    assert marker.exists(), "the attack is none"


def test_an_alternate_git_folder_is_not_run(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = hostile.parent / "PWNED"
    with (hostile / ".git/config").open("a") as file:
        file.write(f'[core]\n\tfsmonitor = "touch {marker}; false"\n\tworktree = /\n')
    other = write(hostile.parent / "other", {".git": f"gitdir: {hostile}/.git\n", "c.py": "1", "a.py": "2"})
    monkeypatch.setenv("GIT_DIR", str(hostile / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", "/")
    assert read_without_processes(other, monkeypatch) == ["a.py", "c.py"]
    submodule = write(hostile, {".gitmodules": '[submodule "s"]\n\tpath = s\n\turl = ext::sh\n\tupdate = !touch /x\n'})
    assert read_without_processes(submodule, monkeypatch) == ["a.py", "b.py"]
    assert not marker.exists()


@pytest.mark.parametrize(
    "pointer", ["gitdir: /etc\n", "gitdir: .\n", "gitdir: ../evil/.git\0x", "gitdir: /proc/self\n", "gitdir: \n", "x", "\xff"]
)
def test_a_git_file_that_points_anywhere_is_no_repository(pointer: str, tmp_path: Path) -> None:
    assert listed(write(tmp_path / "r", {".git": pointer.encode("latin-1"), "a.py": "1"})) == ["a.py"]


@pytest.mark.parametrize("name", ["index", "HEAD", "config", "commondir", "info/exclude"])
def test_what_lies_in_git_may_be_a_pipe_or_a_link_to_a_device(
    name: str, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is opened, so nothing waits for them."""
    opened: list[str] = []
    system_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **more: opened.append(str(path)) or system_open(path, *rest, **more))
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(path, path)):
        path = hostile / ".git" / name
        path.unlink(missing_ok=True)
        make(path)
        assert listed(hostile) == ["a.py", "b.py"]
        assert str(path) not in opened
    assert name == "HEAD" or any(path.endswith((".git/index", ".git/config")) for path in opened), "files are opened here"


@pytest.mark.parametrize("name", [".gitignore", ".axlignore", "a.py", "tool", "manifest.json", "config.json", "nb.ipynb"])
def test_nothing_that_is_no_file_is_opened(name: str, tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"z.py": "1"})
    os.mkfifo(root / name)
    assert [one for one, _ in read_sources([root])] == ["z.py"]
    (root / name).unlink()
    (root / name).symlink_to("/dev/zero")
    assert [one for one, _ in read_sources([root])] == ["z.py"]


def test_a_device_is_not_even_opened(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hostile / ".git/config").write_text("[core]\n\texcludesFile = /dev/zero\n")
    (hostile / "b.py").unlink()
    (hostile / "b.py").symlink_to("/dev/zero")
    paths: list[str] = []
    opened = os.open

    def record(path: str, *more: int, **named: int) -> int:
        paths.append(os.path.realpath(path))
        return opened(path, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", record)
        assert [name for name, _ in read_sources([hostile])] == ["a.py"]
    assert paths
    assert not [path for path in paths if path.startswith("/dev/")]


@pytest.mark.skipif(os.geteuid() != 0, reason="devices are made by root")
def test_devices_and_sockets_are_not_opened(tmp_path: Path) -> None:
    import socket

    root = write(tmp_path / "r", {"z.py": "1"})
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.py"))
        try:
            os.mknod(root / "null.py", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        except PermissionError:
            (root / "null.py").unlink(missing_ok=True)
        assert listed(root) == ["z.py"]
        assert set(reasons(root).values()) == {"not a file"}


def test_a_file_that_becomes_a_pipe_or_vanishes_after_listing_is_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"a.py": "1", "b.py": "2", "c.py": "3", "d.py": "4"})
    dropped = Dropped(listed=True)
    files = list_sources([root], dropped=dropped)
    (root / "a.py").unlink()
    (root / "b.py").unlink()
    os.mkfifo(root / "b.py")
    (root / "c.py").unlink()
    (root / "c.py").symlink_to("d.py")
    assert [document.name for file in files for document in read_source(file, dropped)] == ["d.py"]
    assert dropped.counts == {"unreadable": 3}
    assert dropped.entries[0] == (f"{root}/a.py", "unreadable (No such file or directory)")


def test_loops_depth_and_giants(tmp_path: Path) -> None:
    root = write(tmp_path / "r", {"a.py": "1"})
    (root / "loop").symlink_to("..")
    deep = os.open(root, os.O_RDONLY)
    for _ in range(1500):  # deeper than a path can say
        os.mkdir("deep", dir_fd=deep)
        inner = os.open("deep", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    with (root / "giant.py").open("wb") as file:
        file.truncate(1 << 40)
    try:
        dropped = Dropped()
        files = list_sources([root], dropped=dropped)
        sizes = {document.name: len(document.content) for file in files for document in read_source(file, dropped)}
        assert sizes == {"a.py": 1, "giant.py": 1_000_001}, "read up to the limit, so that it is seen to be longer"
        assert dropped.counts == {"link": 1, "unreadable": 1}
    finally:
        subprocess.run(["rm", "-rf", str(root / "deep")], check=True)


def test_patterns_that_take_for_ever_elsewhere(tmp_path: Path) -> None:
    slow = "*" + "a*" * 30 + "b\n"
    lines = [slow, "(", "[", "[z-a]\n", "*" * 50_000 + "\n", "x{1,1000}" * 100 + "\n", "\\\n", "!\n", "keep*.py\n", "\0\n"]
    root = write(tmp_path / "r", {".gitignore": "".join(lines) * 20, "a" * 200 + ".py": "1", "keep.py": "no", "b.py": "2"})
    write(root, {f"{number}/.gitignore": slow for number in range(50)})
    assert listed(root) == ["a" * 200 + ".py", "b.py"]  # this test would never end elsewhere


def test_thousands_of_patterns_hold(tmp_path: Path) -> None:
    patterns = "".join(f"gen{number}*_x{number}.py\n" for number in range(3000))
    root = write(tmp_path / "r", {".gitignore": patterns, "gen7_x7.py": "no", "gen2999a_x2999.py": "no", "gen7_x8.py": "1"})
    assert listed(root) == ["gen7_x8.py"]


@pytest.mark.parametrize("name", ["line\nbreak.py", "\x1b[31mred.py", "tab\t.py", "caf\udce9.py", "\u202egnp.py", "a\\b.py"])
def test_names_that_cannot_be_shown_as_they_are(name: str, tmp_path: Path) -> None:
    root = write(tmp_path / "r", {name: "1"})
    dropped = Dropped(listed=True)
    files = list_sources([root], dropped=dropped)
    assert [document.name for file in files for document in read_source(file, dropped)] == [name]
    dropped.add(f"{root}/{name}", "binary")
    (line,) = dropped.lines()
    assert line.split("\t")[1:] == ["binary"]
    assert line.replace("\t", "").isprintable()


def test_gzip_and_json_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FREE_BYTES", 1 << 20)
    monkeypatch.setattr(records, "MAX_LINE", 1 << 18)
    line = json.dumps({"text": "0" * 100_000}).encode() + b"\n"
    write(tmp_path, {"many.jsonl.gz": gzip.compress(line * 2_000), "one.jsonl.gz": gzip.compress(b"0" * 40_000_000)})
    write(tmp_path, {"deep.jsonl": "[" * 200_000, "fine.jsonl.gz": gzip.compress(line * 5)})
    for name, message in {
        "many.jsonl.gz": "unpacks to over 200 times its size",
        "one.jsonl.gz": "line 1 is longer than 262,144 bytes",
        "deep.jsonl": "line 1 is not JSON",
    }.items():
        with pytest.raises(AxlError, match=message):
            list(read_sources([tmp_path / name]))
    assert len(list(read_sources([tmp_path / "fine.jsonl.gz"]))) == 5


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_index_is_said_or_read_never_more(data: st.DataObject, hostile: Path) -> None:
    index = hostile / ".git" / "index"
    original = hostile / ".git" / "kept"
    if not original.exists():
        original.write_bytes(index.read_bytes())
    content = bytearray(original.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    index.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        names = tracked_names(str(hostile / ".git"))
    except UnreadableIndexError:
        names = set()
    assert len(names) <= 2
    index.write_bytes(original.read_bytes())


def test_an_index_that_would_fill_the_memory(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 4 says of each name how much of the last one it keeps: a few bytes more each time, and names grow for ever."""
    entry = bytes(62) + b"\0" + b"x" * 50 + b"\0"
    index = hostile / ".git" / "index"
    index.write_bytes(b"DIRC" + struct.pack(">LL", 4, 1 << 31) + entry * 500_000)
    entries: list[int] = []
    read_entry = git_index._entry
    monkeypatch.setattr(git_index, "_entry", lambda index, at, *rest: entries.append(at) or read_entry(index, at, *rest))
    with pytest.raises(UnreadableIndexError):
        tracked_names(str(hostile / ".git"))
    assert 10 < len(entries) < 100, "it is given up where a name has become too long, not at the end"
    index.write_bytes(b"DIRC" + struct.pack(">LL", 4, 1) + bytes(62) + b"\0" + b"x" * 50_000_000)
    with pytest.raises(UnreadableIndexError):
        tracked_names(str(hostile / ".git"))


def test_reading_takes_no_shell_words(tmp_path: Path) -> None:
    root = repository(tmp_path / "--upload-pack=touch PWNED; $(touch PWNED)", {"-rf.py": "1", "$(touch PWNED).py": "2"})
    code = (
        "import sys; from multiscale_transformer.data.corpus import stream_documents; "
        "print(len(list(stream_documents(sys.argv[1:]))))"
    )
    answer = subprocess.run([sys.executable, "-c", code, root], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert answer.stdout == "2\n"
    assert [path.name for path in tmp_path.iterdir()] == [root.name]
