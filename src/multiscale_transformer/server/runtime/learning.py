"""Learning at night: once a day the served model is fine-tuned on the projects, in a process of its own, and then served.

The process is `axl train` at the lowest priority, so it needs what training needs (`axl[train]`). The weights it begins with
are always those that the server was started with: what a project taught yesterday is learnt from its files again. Where it
fails, the server goes on with the weights it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from datetime import time as Clock
from pathlib import Path

import structlog

from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import TRAINING_FILE, WEIGHTS_FILE
from multiscale_transformer.server.errors import ApiError
from multiscale_transformer.server.runtime.model_manager import ModelManager
from multiscale_transformer.server.runtime.registry import ModelRegistry
from multiscale_transformer.server.settings import Learning

LOWEST_PRIORITY = 19
TURNS = 2  # folders of weights that take turns: one is served while the other is written

log = structlog.get_logger("axl.learning")


async def learn_daily(learning: Learning, roots: Sequence[Path], registry: ModelRegistry, models: ModelManager) -> None:
    """Serve what was learnt before, and learn from the projects each day, until cancelled. Of several models one learns."""
    name, begun_with = next(iter(registry.folders.items()))
    places = [learning.folder / f"{name}-{_digest(begun_with)}-{number}" for number in range(TURNS)]
    learnt = [place for place in places if (place / TRAINING_FILE).exists()]
    if learnt:
        await _serve(max(learnt, key=lambda place: (place / TRAINING_FILE).stat().st_mtime), name, registry, models)
    while True:
        await asyncio.sleep(seconds_until(learning.at, datetime.now()))
        out = next(place for place in places if place != registry.folders[name])
        log.info("learning", note=f"{learning.minutes:g} minutes from {', '.join(map(str, roots))}")
        try:
            shutil.rmtree(out, ignore_errors=True)
            learning.folder.mkdir(parents=True, exist_ok=True)
            await train(roots, begun_with, out, learning.minutes)
        except (AxlError, OSError) as error:
            log.warning("learning", note=f"{error}; the server goes on with the weights it has")
            continue
        await _serve(out, name, registry, models)


def seconds_until(at: Clock, now: datetime) -> float:
    """Until the next time that a clock shows `at`; a whole day where it shows that now."""
    then = datetime.combine(now.date(), at)
    return ((then if then > now else then + timedelta(days=1)) - now).total_seconds()


async def _serve(folder: Path, name: str, registry: ModelRegistry, models: ModelManager) -> None:
    """Let a checkpoint take the place of the one that is served; one that cannot be loaded does not."""
    try:
        await models.replace(name, registry.folders[name], folder)
    except (AxlError, ApiError) as error:
        log.warning("learning", note=f"{folder} is not served: {error}")
        return
    registry.folders[name] = folder
    log.info("learning", note=f"{name} is the model in {folder} now")


def _digest(begun_with: Path) -> str:
    """What tells the weights that learning begins with from others of that name."""
    status = (begun_with / WEIGHTS_FILE).stat()
    return hashlib.sha256(f"{begun_with} {status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:8]


async def train(roots: Sequence[Path], begun_with: Path, out: Path, minutes: float) -> None:
    """Fine-tune a checkpoint on the projects, in a process. Raises AxlError with the last words of one that fails."""
    data = [word for root in roots for word in ("--data", str(root))]
    options = ["--init", str(begun_with), "--out", str(out), "--minutes", f"{minutes:g}"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "multiscale_transformer", "train", *data, *options),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=_lower_priority if hasattr(os, "nice") else None,
    )
    try:
        _, said = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    if process.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines()
        raise AxlError(f"learning failed ({lines[-1] if lines else process.returncode})")


def _lower_priority() -> None:
    os.nice(LOWEST_PRIORITY)
