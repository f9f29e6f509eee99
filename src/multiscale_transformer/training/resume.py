"""Resume points: everything a killed run needs to go on, each a folder that is whole or absent.

A point is written beside the last one and renamed into place before the old one is removed, so a kill at any moment leaves
at least one. Weights and optimizer state are safetensors; data order needs only the step counts in `progress.json`.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.checkpoint import load_model, load_tensors, save_model, save_tensors
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.trainer import Progress, Trainer

EVERY_SECONDS = 30.0  # a kill loses this much work, plus one step
FOLDER = "resume"


class ResumeWriter:
    """A callback that writes a resume point every half minute; `request` describes the run, for `--resume` to check."""

    def __init__(self, folder: Path, trainer: Trainer, request: dict[str, Any]) -> None:
        self._root, self._trainer, self._request = folder / FOLDER, trainer, request
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Save when half a minute has passed since the last point."""
        if time.monotonic() - self._last >= EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Write a point now and remove older ones."""
        trainer = self._trainer
        with files.new_folder(self._root / f"{trainer.progress.step:09d}") as point:
            save_model(trainer.model, point)
            save_tensors(point / "optimizer.safetensors", trainer.optimizer.state_tensors())
            files.write_json(point / "progress.json", {"progress": asdict(trainer.progress), "request": self._request})
        for older in _points(self._root)[:-1]:
            shutil.rmtree(older, ignore_errors=True)
        self._last = time.monotonic()

    def remove(self) -> None:
        """Delete all points: the run is finished."""
        shutil.rmtree(self._root, ignore_errors=True)


def read_request(folder: Path) -> dict[str, Any]:
    """What the interrupted run in `folder` was asked to do. Raises AxlError when there is none."""
    return _read(_newest(folder))["request"]  # type: ignore[no-any-return]


def load_resume(folder: Path) -> tuple[MultiScaleTransformer, Progress]:
    """Model and progress of the newest resume point of `folder`."""
    point = _newest(folder)
    fields = _read(point)["progress"]
    fields["steps_at_window"] = {int(window): steps for window, steps in fields["steps_at_window"].items()}
    return load_model(point), Progress(**fields)


def restore_optimizer(folder: Path, trainer: Trainer) -> None:
    """Load the optimizer state that belongs to `load_resume(folder)`."""
    trainer.optimizer.load_state_tensors(load_tensors(_newest(folder) / "optimizer.safetensors"))


def has_resume(folder: Path) -> bool:
    """Whether an interrupted run can go on in `folder`."""
    return bool(_points(folder / FOLDER))


def _points(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and p.name.isdigit()) if root.is_dir() else []


def _newest(folder: Path) -> Path:
    points = _points(folder / FOLDER)
    if not points:
        raise AxlError(f"nothing to resume in {folder}: no interrupted run there; leave out --resume to start one")
    return points[-1]


def _read(point: Path) -> dict[str, Any]:
    path = point / "progress.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except (OSError, ValueError) as error:
        raise AxlError(f"{path} is damaged ({error}); delete {point.parent} and train again") from error
