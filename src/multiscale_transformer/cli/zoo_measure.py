"""What the table of the zoo says of one model: its training, its skill beside the best rival, its speed, RAM and size.

`python -m multiscale_transformer.cli.zoo_measure FOLDER` prints speed and RAM of a checkpoint as a user's process has them.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.cli import ui
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import WEIGHTS_FILE
from multiscale_transformer.zoo.recipes import Recipe
from multiscale_transformer.zoo.training_record import read_training

MEASURED_FILE = "zoo.json"
WRITTEN = 512  # bytes that are written to see how fast
_PROMPT = b"import os\n\n\ndef "


class ZooModel(BaseModel):
    """A row of the table. Figures that there are none of are None; `sha256` is that of the weights which were measured."""

    model_config = ConfigDict(extra="forbid")

    name: str
    skill: str
    sha256: str
    seed: int = 0
    parameters: int
    bytes_read: int
    minutes: float
    bits_per_byte: float
    bytes_per_second: float
    ram_bytes: int
    q4_bytes: int | None = None
    metric: str = ""
    figure: float | None = None
    rival: str = ""
    rival_figure: float | None = None
    figures: dict[str, float] = {}
    rivals: dict[str, dict[str, float]] = {}
    notes: tuple[str, ...] = ()


def read_measured(root: Path) -> dict[str, ZooModel]:
    """What has been measured below a folder. Raises AxlError where the file is damaged."""
    path = root / MEASURED_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {name: ZooModel.model_validate(row) for name, row in rows.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, ValidationError, AttributeError) as error:
        raise AxlError(f"{path} is damaged ({error}); delete it and measure again") from None


def zoo_model(recipe: Recipe, folder: Path, data: Path, known: ZooModel | None, *, most: int, threads: int | None) -> ZooModel:
    """The row of a trained model; what is `known` of the same weights stays.

    Raises AxlError where the run's figure, or the data of its skill, is missing.
    """
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    if known is not None and known.sha256 == digest:
        ui.print_text(f"{folder.name} is measured already")
        return known
    record = read_training(folder)
    if record.held_out is None:
        raise AxlError(f"{folder} has no held-out figure yet; axl train --resume --out {folder} measures it")
    with ui.busy(f"measuring the speed of {folder.name}"):
        speed, ram = _in_a_process(folder)
    model = ZooModel(
        name=folder.name,
        skill=recipe.skill,
        sha256=digest,
        seed=record.seed,
        parameters=record.parameters,
        bytes_read=record.bytes,
        minutes=record.seconds / 60,
        bits_per_byte=record.held_out.bits_per_byte,
        bytes_per_second=speed,
        ram_bytes=ram,
        q4_bytes=_q4_bytes(folder),
    )
    return _with_skill(model, recipe.skill, folder, data, most, threads) if recipe.skill else model


def _with_skill(model: ZooModel, skill: str, folder: Path, data: Path, most: int, threads: int | None) -> ZooModel:
    from multiscale_transformer.cli.eval_task import measured

    figures = measured(skill, folder, data, most=most, memory=None, seed=0, threads=threads)
    rival, value = figures.best_rival or ("", None)
    return model.model_copy(
        update={
            "metric": figures.headline,
            "figure": figures.figures[figures.headline],
            "rival": rival,
            "rival_figure": value,
            "figures": figures.figures,
            "rivals": figures.rivals,
            "notes": figures.notes,
        }
    )


def _q4_bytes(folder: Path) -> int | None:
    """The size of the exported file in 4 bits; None where the tools are missing or the model has no such export."""
    from multiscale_transformer.export.gguf import export_gguf

    with tempfile.TemporaryDirectory() as scratch:
        try:
            written = export_gguf(folder, Path(scratch), "model", ["Q4_K_M"])
        except AxlError as error:
            ui.note(str(error))
            return None
        return sum(path.stat().st_size for path, _ in written)


def _in_a_process(folder: Path) -> tuple[float, int]:
    """Bytes a second and the peak of RAM of a process that does nothing else. Raises AxlError where it fails."""
    command = [sys.executable, "-m", "multiscale_transformer.cli.zoo_measure", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        speed, ram = json.loads(ran.stdout)
    except ValueError:
        lines = ran.stderr.strip().splitlines()
        raise AxlError(f"{folder} does not load ({lines[-1] if lines else 'no answer'})") from None
    return float(speed), int(ram)


def _speed(folder: Path) -> tuple[float, int]:
    from multiscale_transformer.engine.engine import load_engine
    from multiscale_transformer.engine.scheduler import Request, Scheduler
    from multiscale_transformer.model.sampling import Sampling
    from multiscale_transformer.model.vocabulary import BOS

    scheduler = Scheduler(load_engine(folder))
    for count in (8, WRITTEN):  # the first text compiles and warms
        begin = time.perf_counter()
        request = Request([BOS, *_PROMPT], Sampling(temperature=0.8, max_new_tokens=count))
        written = sum(len(chunk.text.encode()) for chunk in scheduler.stream(request))
        seconds = time.perf_counter() - begin
    return max(written, 1) / seconds, peak_bytes()


def peak_bytes() -> int:
    """The most that this process held at once.

    Linux counts what a parent held into the `ru_maxrss` of the child that it starts, so there the process itself is asked.
    """
    status = Path("/proc/self/status")
    if status.exists() and (peak := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(peak[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024


if __name__ == "__main__":
    print(json.dumps(_speed(Path(sys.argv[1]))))
