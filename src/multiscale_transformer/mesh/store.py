"""What a registry keeps on the disk, in SQLite: who its members are, which are drained, and who is in charge of the file.

Load and leases are not kept, because they are old by the time anybody reads them: a registry that starts again gives every
member of the file a new lease, and those that are dead lose it as they would have.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from multiscale_transformer.errors import AxlError
from multiscale_transformer.mesh.members import Announcement

CHARGE_SECONDS = 2.0  # for which whoever is in charge of a file stays that without renewing it
WAIT_SECONDS = 5.0  # for another process that writes
_TABLES = """
CREATE TABLE IF NOT EXISTS members (name TEXT PRIMARY KEY, said TEXT NOT NULL, joined REAL NOT NULL);
CREATE TABLE IF NOT EXISTS drained (name TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS charge (one INTEGER PRIMARY KEY CHECK (one = 1), holder TEXT NOT NULL, until REAL NOT NULL);
"""


class Store:
    """One file. Calls may come from several threads."""

    def __init__(self, path: Path) -> None:
        """Open a file, or make one that nobody else reads. Raises AxlError for one that is no state of a registry."""
        self.path, self._lock = path, threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it may hold keys
            self._sql = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            self._sql.execute("PRAGMA journal_mode=WAL")
            self._sql.execute("PRAGMA synchronous=FULL")
            self._sql.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise AxlError(f"{path} cannot be the state of a registry ({error}); choose another --state") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._sql.close()

    def members(self) -> list[tuple[Announcement, float]]:
        """What the members said last, and since when each is known; rows that somebody has damaged are left out."""
        found = []
        for said, joined in self._all("SELECT said, joined FROM members ORDER BY joined, name"):
            with contextlib.suppress(ValidationError, TypeError, ValueError):
                found.append((Announcement.model_validate_json(str(said)), float(str(joined))))
        return found

    def keep(self, said: Announcement, joined: float) -> None:
        """Write down a member."""
        row = (said.name, said.lasting.model_dump_json(), joined)
        with self._writing() as sql:
            sql.execute("INSERT INTO members VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET said = excluded.said", row)

    def forget(self, name: str) -> None:
        """Forget a member, drained or not."""
        with self._writing() as sql:
            sql.execute("DELETE FROM members WHERE name = ?", (name,))
            sql.execute("DELETE FROM drained WHERE name = ?", (name,))

    def drained(self) -> set[str]:
        """The members that somebody has drained."""
        return {str(name) for (name,) in self._all("SELECT name FROM drained")}

    def drain(self, name: str, *, drained: bool) -> None:
        """Drain a member, or no longer."""
        with self._writing() as sql:
            if drained:
                sql.execute("INSERT OR IGNORE INTO drained VALUES (?)", (name,))
            else:
                sql.execute("DELETE FROM drained WHERE name = ?", (name,))

    def take_charge(self, holder: str, now: float | None = None) -> bool:
        """Take charge of the file, or stay in charge, for `CHARGE_SECONDS`; False while another is.

        Times are those of the system's monotonic clock, which all processes of a machine share and nobody sets. It starts anew
        with the machine: what lies too far ahead was written before that.
        """
        now = time.monotonic() if now is None else now
        with self._writing() as sql:
            row = sql.execute("SELECT holder, until FROM charge").fetchone()
            if row and row[0] != holder and now < row[1] <= now + 2 * CHARGE_SECONDS:
                return False
            sql.execute("INSERT OR REPLACE INTO charge VALUES (1, ?, ?)", (holder, now + CHARGE_SECONDS))
        return True

    def give_up_charge(self, holder: str) -> None:
        """Let the next one take charge at once."""
        with self._writing() as sql:
            sql.execute("DELETE FROM charge WHERE holder = ?", (holder,))

    def _all(self, query: str) -> list[tuple[object, ...]]:
        with self._lock, self._explained():
            return self._sql.execute(query).fetchall()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained():
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield self._sql
            except BaseException:
                self._sql.execute("ROLLBACK")
                raise
            self._sql.execute("COMMIT")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise AxlError(f"{self.path}: {error}") from error
