"""Resume points: everything a killed run needs to go on, each a folder that is whole or absent.

A point is written beside the last one and renamed into place before the old one is removed, so a kill at any moment leaves
at least one. Weights and optimizer state are safetensors; data order needs only the step counts in `progress.json`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.checkpoint import TensorFile, load_model, save_model, save_tensors
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.machine import CPU, compute_dtype
from multiscale_transformer.training.optimizers import OptimizerSet
from multiscale_transformer.training.trainer import Progress

EVERY_SECONDS = 60.0  # a kill loses this much work, plus one step
PAUSE = 10.0  # times what the last point took: a large model spends no more than a tenth of its time on points
FOLDER = "resume"
PROGRESS_FILE, OPTIMIZER_FILE = "progress.json", "optimizer.safetensors"
FIRST_WEIGHTS_FILE = "first.safetensors"


class Point(BaseModel):
    """What a resume point holds besides tensors. The dtype is kept: measured again it could come out otherwise."""

    model_config = ConfigDict(extra="forbid")

    progress: Progress
    request: dict[str, Any]
    compute_dtype: Literal["float32", "bfloat16"]
    device: str = "cpu"


class Resumable(Protocol):
    """A training that can go on later: a model with its device and dtype, its optimizer, and where it stands."""

    model: Any
    optimizer: OptimizerSet
    progress: Progress


class ResumeWriter:
    """A callback that writes a resume point every minute, or less often where that takes long.

    `request` describes the run, for `--resume` to check; `save` writes the model into a folder (default:
    as models of text are written).
    """

    def __init__(
        self, folder: Path, trainer: Resumable, request: dict[str, Any], save: Callable[[Any, Path], None] | None = None
    ) -> None:
        self._root, self._trainer, self._request, self._save = folder / FOLDER, trainer, request, save or save_model
        self._last, self._took = time.monotonic(), 0.0
        for begun in self._root.glob(".*"):  # a point that a kill cut short; nobody else writes here
            shutil.rmtree(begun, ignore_errors=True)

    def __call__(self, progress: Progress) -> None:
        """Save when a minute has passed since the last point, and ten times what that took."""
        if time.monotonic() - self._last >= max(EVERY_SECONDS, PAUSE * self._took):
            self.save()

    def save(self) -> None:
        """Write a point now, if there is none of this step, and remove older ones."""
        trainer, begin = self._trainer, time.monotonic()
        path = self._root / f"{trainer.progress.step:09d}"
        if not path.exists():  # replacing the only point would for a moment leave none
            with files.new_folder(path) as point:
                self._save(trainer.model, point)
                save_tensors(point / OPTIMIZER_FILE, trainer.optimizer.state_tensors())
                files.write_json(point / PROGRESS_FILE, self._facts())
        for older in _points(self._root)[:-1]:
            shutil.rmtree(older, ignore_errors=True)
        self._last = time.monotonic()
        self._took = self._last - begin

    def save_first_weights(self) -> None:
        """Keep the weights as they are now, until the run is finished."""
        save_tensors(self._root / FIRST_WEIGHTS_FILE, self._trainer.model.state_dict())

    def first_weights(self) -> TensorFile:
        """The weights that `save_first_weights` kept."""
        return TensorFile(self._root / FIRST_WEIGHTS_FILE)

    def _facts(self) -> dict[str, Any]:
        return {
            "progress": asdict(self._trainer.progress),
            "request": self._request,
            "compute_dtype": str(self._trainer.model.compute_dtype).removeprefix("torch."),
            "device": self._trainer.model.device.type,
        }

    def remove(self) -> None:
        """Delete all points: the run is finished."""
        shutil.rmtree(self._root, ignore_errors=True)


def read_request(folder: Path) -> dict[str, Any]:
    """What the interrupted run in `folder` was asked to do. Raises AxlError when there is none."""
    return _read(_newest(folder)).request


def load_resume(folder: Path, device: torch.device = CPU) -> tuple[MultiScaleTransformer, Progress]:
    """Model and progress of the newest resume point of `folder`; the model goes on on `device`.

    It computes in the dtype in which it did, unless that was on another kind of device. Raises AxlError for a damaged point.
    """
    saved, point = read_point(folder)
    model = load_model(point).to(device)
    if saved.device == device.type:
        model.compute_dtype = getattr(torch, saved.compute_dtype)
    else:
        model.compute_dtype = compute_dtype(torch.get_num_threads(), device)
    return model, saved.progress


def read_point(folder: Path) -> tuple[Point, Path]:
    """What the newest resume point of `folder` says, and the folder of its weights. Raises AxlError for a damaged one."""
    point = _newest(folder)
    return _read(point), point


def restore_optimizer(folder: Path, trainer: Resumable) -> None:
    """Load the optimizer state that belongs to the newest resume point of `folder`."""
    trainer.optimizer.load_state_tensors(TensorFile(_newest(folder) / OPTIMIZER_FILE))


def has_resume(folder: Path) -> bool:
    """Whether an interrupted run can go on in `folder`."""
    return bool(_points(folder / FOLDER))


def newest_point(folder: Path) -> Path | None:
    """The newest resume point of the run in `folder`, or None."""
    return next(reversed(_points(folder / FOLDER)), None)


def point_in(folder: Path) -> Path:
    """Where a resume point that comes from elsewhere belongs in a folder that has none."""
    return folder / FOLDER / "000000000"


def _points(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and p.name.isdigit()) if root.is_dir() else []


def _newest(folder: Path) -> Path:
    point = newest_point(folder)
    if point is None:
        raise AxlError(f"nothing to resume in {folder}: no interrupted run there; leave out --resume to start one")
    return point


def _read(point: Path) -> Point:
    path = point / PROGRESS_FILE
    try:
        return Point.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise AxlError(f"{path} is damaged or from another version; delete {point.parent} and train again") from error
