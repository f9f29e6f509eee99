"""What a training run left behind, read forgivingly: whatever is missing is left out, whatever is wrong is one clear line.

A run folder holds `metrics.csv` (the curve) and, once training ended, `training.json` (everything else). A run that still
goes on has no `training.json` yet, and its curve can be read all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.logger import METRICS_FILE, read_metrics

FACTS_FILE = "training.json"
PEERS = {"xz": "xz", "ppmd": "PPMd", "ppmd_primed": "PPMd primed"}  # key under "held_out": the name people read
_COLUMNS = {"seconds": "seconds", "steps": "step", "bytes": "bytes"}  # key of the facts: column of the curve
_FINGERPRINT = ("bytes", "xz", "ppmd")  # what is equal when two runs were scored on the same held-out files


_LARGEST = 1e18  # no run has so many bytes, seconds or parameters
_SETTINGS = {  # what may set runs of one name apart: path of keys in the facts, words before and after the value
    ("optimizer",): ("", ""),
    ("minutes",): ("", " min"),
    ("parameters",): ("", " parameters"),
    ("window",): ("window ", ""),
    ("batch",): ("batch ", ""),
    ("compute_dtype",): ("", ""),
    ("data", "sha256"): ("data ", ""),
}


@dataclass(frozen=True)
class Run:
    """One run: `facts` is its `training.json`, `metrics` the columns of its `metrics.csv`."""

    folder: Path
    facts: dict[str, Any]
    metrics: dict[str, list[float]]

    @property
    def name(self) -> str:
        """The name of what was trained, or else of the folder."""
        return _printable(self.text("name")) or _printable(self.folder.name)

    @property
    def held_out(self) -> float | None:
        """Bits per byte over all held-out files, measured when training had ended."""
        return self.number("held_out", "bits_per_byte")

    @property
    def speed(self) -> float | None:
        """Mean bytes read per second of training."""
        seconds, read = self.reached("seconds"), self.reached("bytes")
        return read / seconds if read is not None and seconds else None

    def number(self, *keys: str) -> float | None:
        """The finite number at a path of keys in `facts`, or None."""
        value = self.at(*keys)
        return float(value) if _is_real(value) else None

    def text(self, *keys: str) -> str:
        """The word at a path of keys in `facts`, or nothing."""
        value = self.at(*keys)
        return value if isinstance(value, str) else ""

    def section(self, key: str) -> dict[str, Any]:
        """The object at `key`, or an empty one."""
        value = self.facts.get(key)
        return value if isinstance(value, dict) else {}

    def curve(self, column: str) -> list[tuple[float, float]]:
        """(seconds, value) wherever both were recorded."""
        pairs = zip(self.metrics.get("seconds", []), self.metrics.get(column, []), strict=False)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]

    def reached(self, key: str) -> float | None:
        """What the run ended with: from `facts`, or from the last row of the curve while the run has not ended."""
        stated = self.number(key)
        recorded = [value for value in self.metrics.get(_COLUMNS[key], []) if math.isfinite(value)]
        return stated if stated is not None or not recorded else recorded[-1]

    def at(self, *keys: str) -> object:
        """Whatever lies at a path of keys in `facts`, or None."""
        value: object = self.facts
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


@dataclass(frozen=True)
class Series:
    """Runs that differ in nothing but their seed, under a name that no other series of the report has."""

    label: str
    runs: list[Run]

    @property
    def held_out(self) -> list[float]:
        """The held-out bits per byte of the runs that have them."""
        return [run.held_out for run in self.runs if run.held_out is not None]

    def run_label(self, run: Run) -> str:
        """A name for one of the runs: the series' own when it is the only one, else with its seed, or else its folder."""
        if len(self.runs) == 1:
            return self.label
        seeds = [other.number("seed") for other in self.runs]
        seed = run.number("seed")
        told_apart = seed is not None and seeds.count(seed) == 1
        return f"{self.label}, seed {seed:.0f}" if told_apart else f"{self.label}, {run.folder.name}"


def load_series(folders: Iterable[Path]) -> list[Series]:
    """The runs in `folders`, each once; those that differ in nothing but their seed are together.

    Raises AxlError when there is none, or for a folder that is not a run.
    """
    once = list(dict.fromkeys(folder.resolve() for folder in folders))
    if not once:
        raise AxlError("no run to report on; name one or several folders that axl train wrote")
    runs = [Run(folder, _facts(folder), read_metrics(folder / METRICS_FILE)) for folder in once]
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.name, *_settings(run)), []).append(run)
    return [Series(_label(key, list(groups)), group) for key, group in groups.items()]


def shared_peers(runs: Sequence[Run]) -> dict[str, float]:
    """Bits per byte of each compressor, by its readable name, when all runs were scored on the same files; else nothing."""
    if not same_held_out(runs):
        return {}
    found = {name: {run.number("held_out", key) for run in runs} - {None} for key, name in PEERS.items()}
    return {name: value for name, values in found.items() if len(values) == 1 for value in values if value is not None}


def same_held_out(runs: Sequence[Run]) -> bool:
    """Whether the held-out figures may be compared: no two runs state different sizes or compressed sizes of the files."""
    return all(len({run.number("held_out", key) for run in runs} - {None}) <= 1 for key in _FINGERPRINT)


def _facts(folder: Path) -> dict[str, Any]:
    if not (folder / METRICS_FILE).is_file():
        raise AxlError(f"{folder} is not a run: it holds no {METRICS_FILE}; name a folder that axl train wrote")
    path = folder / FACTS_FILE
    if not path.exists():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AxlError(f"cannot read {path}: {error}; name a folder that axl train wrote") from error
    if not isinstance(facts, dict):
        raise AxlError(f"{path} is not a JSON object; name a folder that axl train wrote")
    return facts


def _settings(run: Run) -> list[str]:
    """The settings of a run in words; nothing for one that it does not state."""
    values = [(run.at(*path), around) for path, around in _SETTINGS.items()]
    return ["" if value is None else f"{before}{_word(value)}{after}" for value, (before, after) in values]


def _word(value: object) -> str:
    return f"{value:,.10g}" if _is_real(value) else _printable(str(value))[:12]


def _printable(text: str) -> str:
    """On one line and without control characters, which no SVG may hold."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _label(key: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> str:
    """The name, followed by those settings in which series of the same name differ."""
    name, *settings = key
    others = [other[1:] for other in keys if other[0] == name]
    differing = [setting for setting, *values in zip(settings, *others, strict=True) if len(set(values)) > 1]
    return ", ".join([name, *filter(None, differing)])


def _is_real(value: object) -> TypeGuard[float]:
    """Whether JSON gave a number, and one that can be meant: sums and quotients of such stay finite."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST
