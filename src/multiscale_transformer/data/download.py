"""Downloading Python code to train on, with its licence: wheels through pip, git repositories, data sets of a hub.

Everything arrives as folders of `.py` files below one folder, each of which stands in `manifest.jsonl` with where it came from,
under which licence and with which hash. A package is whole or absent, and what the manifest names is not fetched again, so an
interrupted download goes on. Archives and repositories are read as text; nothing of them is installed or run.
"""

from __future__ import annotations

import email
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.data.filters import MAX_BYTES, reason_to_drop
from multiscale_transformer.data.installed import UNSEEN, UNSEEN_PROJECTS, is_permissive, licence_in
from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import new_folder
from multiscale_transformer.locks import writing

MANIFEST = "manifest.jsonl"
NAMES_FILE = Path(__file__).with_name("packages.txt")
BATCH = 20  # packages that one call of pip fetches
MAX_PACKAGE = 20_000_000  # bytes of one package's source
_NAME = re.compile(r"[a-z0-9][\w.-]*")
_SECONDS = 900  # of one call of pip or git

Found = dict[str, bytes]  # name: text


class Downloaded(BaseModel):
    """A package, repository or data set that was kept; `sha256` is that of the archive, the commit or the texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    version: str
    licence: str
    sha256: str
    files: int
    bytes: int


class Download:
    """A folder of downloaded code, up to `max_bytes` of source. One process writes it at a time."""

    def __init__(self, folder: Path, max_bytes: float, on_kept: Callable[[Downloaded], None] = lambda kept: None) -> None:
        """Raises AxlError where the manifest in the folder is damaged."""
        self.folder, self._max_bytes, self._on_kept = folder, max_bytes, on_kept
        self.kept = read_manifest(folder)
        self.refused: dict[str, str] = {}  # name: why

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(one.bytes for one in self.kept.values())

    @property
    def full(self) -> bool:
        """Whether as much is kept as was asked for."""
        return self.size >= self._max_bytes

    def packages(self, names: Sequence[str], options: Sequence[str] = ()) -> None:
        """Wheels by name, through pip and its settings (mirrors, proxies); `options` are further ones of pip download.

        Raises AxlError where pip fetches none of the first batch.
        """
        wanted = [name for name in names if name.lower() not in self.kept]
        with writing(self.folder):
            for begin in range(0, len(wanted), BATCH):
                if self.full:
                    return
                with tempfile.TemporaryDirectory() as scratch:
                    wheels = _fetched(wanted[begin : begin + BATCH], Path(scratch), options)
                    if not wheels and not self.kept:
                        raise AxlError("pip fetches none of the packages; is there a network, or a mirror in pip's settings?")
                    for wheel in wheels:
                        self._keep_wheel(wheel)

    def repository(self, url: str) -> None:
        """A git repository at its newest commit. Raises AxlError where git cannot clone it."""
        name = url.rstrip("/").rpartition("/")[2].removesuffix(".git").lower() or "repository"
        if name in self.kept:
            return
        with writing(self.folder), tempfile.TemporaryDirectory() as scratch:
            place = Path(scratch) / "clone"
            _run_git(["clone", "--quiet", "--depth", "1", "--no-recurse-submodules", "--", url, str(place)], url)
            commit = _run_git(["-C", str(place), "rev-parse", "HEAD"], url).strip()
            self._keep(name, url, commit, _licence_file(place), commit, dict(_python_files(place)))

    def texts(self, name: str, source: str, licence: str, texts: Iterable[tuple[str, bytes]]) -> None:
        """Texts by name, as a data set gives them, until there are enough."""
        if name in self.kept:
            return
        found: Found = {}
        left = self._max_bytes - self.size
        for file, content in texts:
            if left <= 0:
                break
            if reason_to_drop(file, content) is None:
                found[file] = content
                left -= len(content)
        digest = hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in found.values())).hexdigest()
        with writing(self.folder):
            self._keep(name, source, "", licence, digest, found)

    def _keep_wheel(self, wheel: Path) -> None:
        name, version = wheel.name.split("-")[:2]
        name = name.lower().replace("_", "-")
        try:
            licence, found = _read_wheel(wheel)
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:  # RuntimeError: it is encrypted
            self.refused[name] = f"broken ({error})"
            return
        if not is_permissive(licence):
            self.refused[name] = f"licence: {licence or 'none'}"
        elif self.full or not found:
            self.refused[name] = "no Python source" if not found else "beyond the size"
        else:
            self._keep(name, "pypi", version, licence, hashlib.sha256(wheel.read_bytes()).hexdigest(), found)

    def _keep(self, name: str, source: str, version: str, licence: str, digest: str, found: Found) -> None:
        """The folder first, then its line of the manifest: what no line names is not there."""
        if not _NAME.fullmatch(name):
            raise AxlError(f"{name!r} is no name for a folder of code")
        kept = Downloaded(
            name=name,
            source=source,
            version=version,
            licence=licence,
            sha256=digest,
            files=len(found),
            bytes=sum(map(len, found.values())),
        )
        place = self.folder / kept.name
        shutil.rmtree(place, ignore_errors=True)  # of a process that was killed between the two
        with new_folder(place) as new:
            for file_name, content in found.items():
                path = new / file_name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        with open(self.folder / MANIFEST, "a", encoding="utf-8") as file:
            file.write(kept.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.kept[kept.name] = kept
        self._on_kept(kept)


def package_names() -> list[str]:
    """Packages that are fetched where none are named: popular permissive ones, without those kept for measuring."""
    names = NAMES_FILE.read_text(encoding="utf-8").split()
    return [name for name in names if name not in {*UNSEEN, *UNSEEN_PROJECTS}]


def read_manifest(folder: Path) -> dict[str, Downloaded]:
    """What is kept in a folder, by name; a last line that was cut by a crash is none. Raises AxlError for anything else."""
    try:
        lines = (folder / MANIFEST).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise AxlError(f"{folder / MANIFEST} cannot be read ({error})") from None
    whole = lines[:-1]  # each line ends; what follows the last end was not finished
    try:
        rows = [Downloaded.model_validate_json(line) for line in whole if line]
    except ValidationError as error:
        raise AxlError(f"{folder / MANIFEST} is damaged ({str(error).splitlines()[0]}); delete the folder") from None
    return {row.name: row for row in rows}


def _fetched(names: Sequence[str], scratch: Path, options: Sequence[str]) -> list[Path]:
    """The wheels that pip gets of these; where the batch fails for one of them, each by itself."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--no-input"]
    words += ["--disable-pip-version-check", *options, "-d", str(scratch)]
    batches = [list(names)] if _runs([*words, "--", *names]) or len(names) == 1 else [[name] for name in names]
    if len(batches) > 1:
        for batch in batches:
            _runs([*words, "--", *batch])
    return sorted(scratch.glob("*.whl"))


def _runs(words: list[str]) -> bool:
    try:
        return (
            subprocess.run(words, capture_output=True, check=False, timeout=_SECONDS, stdin=subprocess.DEVNULL).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run_git(words: list[str], url: str) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    command = ["git", "-c", "core.hooksPath=/dev/null", "-c", "protocol.ext.allow=never", *words]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AxlError(f"git cannot clone {url} ({error})") from None
    if ran.returncode:
        raise AxlError(f"git cannot clone {url} ({(ran.stderr.strip().splitlines() or ['no reason given'])[-1]})")
    return ran.stdout


def _read_wheel(wheel: Path) -> tuple[str, Found]:
    """The licence and the Python files of a wheel. Names that lead out of it are left out, and so is what is too much."""
    found: Found = {}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA") and name.count("/") == 1]
        if len(names) != 1:
            raise ValueError("a wheel has its metadata once")
        # As a string, for other bytes than ASCII come back from the parser as an object without the methods of one.
        licence = licence_in(email.message_from_string(archive.read(names[0]).decode(errors="replace")))
        left = MAX_PACKAGE
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if path.suffix != ".py" or path.is_absolute() or ".." in path.parts or "\\" in entry.filename:
                continue
            if entry.file_size <= min(MAX_BYTES, left):
                with archive.open(entry) as file:
                    content = file.read(MAX_BYTES + 1)  # the size in the directory of an archive is only a claim
                if reason_to_drop(entry.filename, content) is None:
                    found[str(path)] = content
                    left -= len(content)
    return licence, found


def _python_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*.py")):
        if path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(folder.resolve()):
            content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
            name = path.relative_to(folder).as_posix()
            if reason_to_drop(name, content) is None:
                yield name, content


def _licence_file(folder: Path) -> str:
    """The first line that says something of a repository's licence file."""
    for path in sorted(folder.glob("LICEN[CS]E*")) + sorted(folder.glob("COPYING*")):
        if path.is_file() and not path.is_symlink():
            lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
            return next((line for line in lines if line), "")[:80]
    return ""
