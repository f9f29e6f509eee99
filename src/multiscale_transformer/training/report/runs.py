"""Runs as a report shows them: what each recorded, and which of them differ in nothing but their seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.compression_baselines import LABELS
from multiscale_transformer.model.folder import TRAINING_FILE
from multiscale_transformer.training.logger import METRICS_FILE, read_metrics
from multiscale_transformer.zoo.training_record import TrainingRecord, known_training, read_training

_LARGEST = 1e18  # no run has so many bytes, seconds or parameters; sums and quotients of less stay finite
_MOST_POINTS = 720  # of a curve; a line can show no more
# What may set runs of one name apart.
_SETTINGS = {"optimizer": "{}", "minutes": "{:,.10g} min", "parameters": "{:,} parameters", "compute_dtype": "{}"}
_SETTINGS |= {"window": "window {:,}", "batch": "batch {:,}"}


@dataclass(frozen=True)
class Run:
    """One run: `facts` is its `training.json`, empty while it still goes on, `metrics` the columns of its `metrics.csv`."""

    folder: Path
    facts: dict[str, Any]
    metrics: dict[str, list[float]]

    def number(self, field: str) -> float | None:
        """The number that a field states; while the run has not ended, the last one of the curve."""
        recorded = self.metrics.get("step" if field == "steps" else field, [])
        return next((value for value in (self.facts.get(field), *reversed(recorded)) if value and abs(value) <= _LARGEST), None)

    def figure(self, key: str) -> float | None:
        """What was measured on the held-out files: the model's "bits_per_byte", the "bytes", a compressor's by its key."""
        value = (self.facts.get("held_out") or {}).get(key)
        return value if isinstance(value, int | float) and abs(value) <= _LARGEST else None

    def curve(self, column: str) -> list[tuple[float, float]]:
        """(seconds, value) wherever both were recorded; each point of a long curve is the mean of neighbours."""
        pairs = zip(self.metrics.get("seconds", []), self.metrics.get(column, []), strict=False)
        points = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
        size = math.ceil(len(points) / _MOST_POINTS) or 1
        parts = [zip(*points[at : at + size], strict=True) for at in range(0, len(points), size)]
        return [(fmean(xs), fmean(ys)) for xs, ys in parts]


@dataclass(frozen=True)
class Series:
    """Runs that differ in nothing but their seed, under a name that no other series of the report has."""

    label: str
    runs: list[Run]


def load_series(folders: Iterable[Path]) -> list[Series]:
    """The runs in `folders`, each once. Raises AxlError when there is none, or for a folder that is not a run."""
    groups: dict[tuple[str, ...], list[Run]] = {}
    for folder in dict.fromkeys(folder.resolve() for folder in folders):
        if not (folder / METRICS_FILE).is_file():
            raise AxlError(f"{folder} is not a run: it holds no {METRICS_FILE}; name a folder that axl train wrote")
        going_on = not (folder / TRAINING_FILE).exists()
        record = TrainingRecord() if going_on else known_training(folder) or read_training(folder)
        run = Run(folder, record.as_json(), read_metrics(folder / METRICS_FILE))
        said = ["" if run.facts.get(key) is None else form.format(run.facts[key]) for key, form in _SETTINGS.items()]
        said += [f"data {record.data.sha256:.12}" if record.data else ""]
        key = ["".join(filter(str.isprintable, " ".join(text.split()))) for text in (record.name, folder.name, *said)]
        groups.setdefault((key[0] or key[1], *key[2:]), []).append(run)
    if not groups:
        raise AxlError("no run to report on; name one or several folders that axl train wrote")
    return [Series(_label(key, list(groups)), group) for key, group in groups.items()]


def shared_baselines(series: Sequence[Series]) -> dict[str, float] | None:
    """Bits per byte of each compressor that all runs share; None when the runs were scored on different files."""
    runs = [run for one in series for run in one.runs]
    found = {key: {value for run in runs if (value := run.figure(key)) is not None} for key in ("bytes", *LABELS)}
    if any(len(found[key]) > 1 for key in ("bytes", "xz", "ppmd")):
        return None
    return {label.short: min(found[key]) for key, label in LABELS.items() if len(found[key]) == 1}


def _label(key: tuple[str, ...], keys: Sequence[tuple[str, ...]]) -> str:
    """The name, followed by those settings in which series of the same name differ."""
    columns = zip(*(other for other in keys if other[0] == key[0]), strict=True)
    return ", ".join([key[0], *(said for said, column in zip(key, columns, strict=True) if said and len(set(column)) > 1)])
