"""What a run measured while it trained, step by step, in a file that survives the run being killed.

The CSV file is valid after every row: each row is one unbuffered write, a new column is added by rewriting the file beside
its place and renaming it, and a row that a kill or a full disk cut short is dropped when the file is read or opened again.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, SupportsFloat

from multiscale_transformer.errors import AxlError, unknown_name
from multiscale_transformer.files import write_text

METRICS_FILE = "metrics.csv"
STEP = "step"
TENSORBOARD_FLUSH_SECONDS = 10


class TrainLogger:
    """Writes named values per step to `log_dir`: as `metrics.csv` (backend "csv") or as TensorBoard events ("tensorboard").

    A folder that already holds a log is appended to. `resume_step` says after which step a resumed run goes on: what was
    logged for later steps is dropped, so that no step is there twice. Also a context manager.
    Raises AxlError for an unknown backend, a missing TensorBoard, a folder that cannot be written, or a foreign `metrics.csv`.
    """

    def __init__(self, log_dir: str | Path, backend: str = "csv", resume_step: int | None = None) -> None:
        if backend not in _BACKENDS:
            raise unknown_name("logging backend", backend, _BACKENDS)
        self._backend = _BACKENDS[backend](Path(log_dir), resume_step)

    def log(self, step: int, **values: SupportsFloat) -> None:
        """Record `values` for `step`; a name that was not there before becomes a new column."""
        self._backend.log(step, values)

    def close(self) -> None:
        """Release the files; logging again after this is an error."""
        self._backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def read_metrics(path: Path) -> dict[str, list[float]]:
    """The columns of a `metrics.csv`, all of the same length; NaN where a cell is empty.

    Raises AxlError when the file cannot be read or is not such a table.
    """
    columns, rows = _read_table(path)
    return {name: [_number(path, row[index]) for row in rows] for index, name in enumerate(columns)}


class _Backend(Protocol):
    def log(self, step: int, values: Mapping[str, SupportsFloat]) -> None: ...

    def close(self) -> None: ...


class _CsvTable:
    """`metrics.csv`: the column `step`, then one per name in the order of their first appearance."""

    def __init__(self, log_dir: Path, resume_step: int | None) -> None:
        self._path = log_dir / METRICS_FILE
        columns, rows = _read_table(self._path) if self._path.exists() else ([], [])
        if columns and columns[0] != STEP:
            raise AxlError(f"{self._path} is not a metrics file of AXL; move it away or choose another folder")
        if resume_step is not None:
            rows = [row for row in rows if _number(self._path, row[0]) <= resume_step]
        self._replace(columns or [STEP], rows)

    def log(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        new = [name for name in values if name not in self._columns]
        if new:
            self.close()
            _, rows = _read_table(self._path)
            self._replace([*self._columns, *new], [row + [""] * len(new) for row in rows])
        cells = [_cell(values[name]) if name in values else "" for name in self._columns[1:]]
        self._append(_as_csv([[str(step), *cells]]).encode())

    def close(self) -> None:
        self._stream.close()

    def _replace(self, columns: list[str], rows: list[list[str]]) -> None:
        write_text(self._path, _as_csv([columns, *rows]))
        self._columns = columns
        self._stream = self._path.open("ab", buffering=0)

    def _append(self, line: bytes) -> None:
        size = os.fstat(self._stream.fileno()).st_size
        try:
            written = self._stream.write(line)
        except OSError as error:
            raise AxlError(f"cannot write {self._path}: {error.strerror}; free some space and use --resume") from error
        if written != len(line):
            self._stream.truncate(size)
            raise AxlError(f"the disk is full: {self._path} ends before this step; free some space and use --resume")


class _TensorBoard:
    """Event files that `tensorboard --logdir` shows; steps after `resume_step` are hidden by its purge mark."""

    def __init__(self, log_dir: Path, resume_step: int | None) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise AxlError("TensorBoard is not installed; run: pip install axl[tensorboard]") from error
        purge = None if resume_step is None else resume_step + 1
        try:
            self._writer = SummaryWriter(str(log_dir), purge_step=purge, flush_secs=TENSORBOARD_FLUSH_SECONDS)
        except OSError as error:
            raise AxlError(f"cannot write {log_dir}: {error.strerror}; choose a folder you can write to") from error

    def log(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, float(value), step)

    def close(self) -> None:
        self._writer.close()


_BACKENDS: dict[str, type[_CsvTable] | type[_TensorBoard]] = {"csv": _CsvTable, "tensorboard": _TensorBoard}


def _read_table(path: Path) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of whole lines; a last line without its end was cut short and is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise AxlError(f"cannot read {path}: {reason}; name a metrics file written by axl train") from error
    whole = text[: text.rfind("\n") + 1]
    columns, *rows = list(csv.reader(io.StringIO(whole))) or [[]]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(columns):
            raise AxlError(f"{path}, line {number}: {len(row)} cells under {len(columns)} columns; mend or remove that line")
    return columns, rows


def _as_csv(rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _cell(value: SupportsFloat) -> str:
    """Every digit, so that reading gives back the same number; whole numbers without a point."""
    return str(int(value)) if isinstance(value, int) else repr(float(value))


def _number(path: Path, cell: str) -> float:
    try:
        return float(cell) if cell else math.nan
    except ValueError as error:
        raise AxlError(f"{path}: {cell!r} is not a number; mend or remove that line") from error
