"""Changes of a project that can be taken back exactly: every run of an agent leaves what the files held before and after.

The journal lies in the user's data folder, not in the project. A run is written down before the first file is changed, so
that a killed agent can be undone too: a file then holds its text before or after, and both are known. `undo` refuses
where a file holds anything else, which would be somebody's work.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.agents.project import MAX_FILE_BYTES, ProjectFolder
from multiscale_transformer.errors import AxlError
from multiscale_transformer.files import write_bytes, write_json
from multiscale_transformer.locks import writing
from multiscale_transformer.tasks.source_text import unified_diff

MAX_RUNS = 50  # of a project that are kept
WAIT_SECONDS = 30.0  # for another agent in the same project


@dataclass(frozen=True)
class Change:
    """A file before and after; None is a file that is not there."""

    name: str
    before: bytes | None
    after: bytes | None

    @property
    def diff(self) -> str:
        """As `diff -u` writes it."""
        before, after = ((content or b"").decode(errors="replace") for content in (self.before, self.after))
        return unified_diff(before, after, self.name)


class _Recorded(BaseModel):
    """A change as it is kept: contents in base64, permissions, and folders that were made for it."""

    model_config = ConfigDict(extra="forbid")

    name: str
    before: str | None
    after: str | None
    mode: int | None
    folders: tuple[str, ...] = ()


class _Run(BaseModel):
    """All changes of a run of an agent, in their order."""

    model_config = ConfigDict(extra="forbid")

    root: str
    task: str
    began: str
    changes: list[_Recorded] = []


class Journal:
    """The changes of one project."""

    def __init__(self, project: ProjectFolder, data: Path | None = None) -> None:
        """`data` is the folder for all journals (default: of the user)."""
        self._project = project
        key = hashlib.sha256(os.fsencode(project.root)).hexdigest()[:24]
        self.folder = (data or _data_folder()) / key

    def begin(self, task: str) -> Changes:
        """A run, of which nothing is written down before it changes something."""
        return Changes(self._project, self, task)

    def undo(self) -> list[str]:
        """Take the last run back; the names of its files.

        Raises AxlError where there is none, where a file was changed since, or the journal cannot be read.
        """
        with writing(self.folder, wait=WAIT_SECONDS, doing="is being changed"):
            place = next(reversed(self._places()), None)
            if place is None:
                raise AxlError(f"no agent has changed anything in {self._project.root} that could be taken back")
            run = self._read(place)
            names = list(dict.fromkeys(change.name for change in run.changes))
            for name in names:
                known = [content for change in run.changes if change.name == name for content in (change.before, change.after)]
                if _encoded(self._project.read_bytes(name)) not in known:
                    raise AxlError(
                        f"{name} was changed after the agent, so nothing is taken back; its earlier text is in {place}"
                    )
            for change in reversed(run.changes):
                self._restore(change)
            place.unlink()
            return names

    def record(self, place: Path, run: _Run) -> None:
        """Write a run down, readable by its user alone; the oldest of many are forgotten."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(place, run.model_dump())
        place.chmod(0o600)
        for old in self._places()[:-MAX_RUNS]:
            old.unlink(missing_ok=True)

    def new_place(self) -> Path:
        """The file of a new run; later ones sort behind earlier ones."""
        last = self._places()[-1:]
        return self.folder / f"{int(last[0].stem) + 1 if last else 1:08d}.json"

    def _places(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("*.json") if path.stem.isdigit())

    def _read(self, place: Path) -> _Run:
        try:
            run = _Run.model_validate_json(place.read_bytes())
        except (OSError, ValidationError) as error:
            raise AxlError(f"{place} cannot be read ({error}); nothing is taken back") from None
        if run.root != str(self._project.root):
            raise AxlError(f"{place} is of {run.root}; nothing is taken back")
        return run

    def _restore(self, change: _Recorded) -> None:
        path = self._project.path_of(change.name)
        put(path, _decoded(change.before), change.mode)
        for folder in change.folders:
            with contextlib.suppress(OSError):  # somebody has put something into it
                self._project.path_of(folder).rmdir()


class Changes:
    """What one run of an agent changes, all of which `Journal.undo` takes back at once."""

    def __init__(self, project: ProjectFolder, journal: Journal, task: str) -> None:
        self._project, self._journal = project, journal
        self._run = _Run(root=str(project.root), task=task, began=time.strftime("%Y-%m-%d %H:%M:%S"))
        self._place: Path | None = None

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes, each atomically. Raises AxlError, with nothing written, where a file is not what it was."""
        with writing(self._journal.folder, wait=WAIT_SECONDS, doing="is being changed"):
            paths = [self._checked(change) for change in changes]
            records = [self._record(change, path) for change, path in zip(changes, paths, strict=True)]
            self._place = self._place or self._journal.new_place()
            self._run.changes += records
            self._journal.record(self._place, self._run)
            for change, path, record in zip(changes, paths, records, strict=True):
                put(path, change.after, record.mode)
                if self._project.read_bytes(change.name) != change.after:
                    raise AxlError(f"{change.name} does not hold what was written; take the run back with axl agent --undo")

    def _checked(self, change: Change) -> Path:
        path = self._project.path_of(change.name)
        if self._project.read_bytes(change.name) != change.before:
            raise AxlError(f"{change.name} was changed meanwhile, so nothing is written; run the command again")
        if change.after is not None and len(change.after) > MAX_FILE_BYTES:
            raise AxlError(f"{change.name} would have more than {MAX_FILE_BYTES >> 20} MB, so nothing is written")
        return path

    def _record(self, change: Change, path: Path) -> _Recorded:
        mode = stat.S_IMODE(path.stat().st_mode) if change.before is not None else None
        made = [folder for folder in path.parents if self._project.root in folder.parents and not folder.exists()]
        folders = tuple(folder.relative_to(self._project.root).as_posix() for folder in made)
        before, after = _encoded(change.before), _encoded(change.after)
        return _Recorded(name=change.name, before=before, after=after, mode=mode, folders=folders)


def put(path: Path, content: bytes | None, mode: int | None) -> None:
    """Make a file hold a content, or be gone; `mode` are its permissions, None those of a new file."""
    if content is None:
        path.unlink(missing_ok=True)
        return
    write_bytes(path, content)
    if mode is not None:
        path.chmod(mode)


def _encoded(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()


def _decoded(content: str | None) -> bytes | None:
    return None if content is None else base64.b64decode(content)


def _data_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("axl", appauthor=False) / "agent"
