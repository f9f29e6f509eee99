"""`axl zoo train --ray ADDRESS`: each model is a task of a Ray cluster, and its checkpoint comes back to this machine.

A task runs the same command as one machine would, for one model, in a scratch folder of the machine that Ray gives it; what is
in the folder then is sent here and written as if it had been trained here. So everything after it (axl zoo eval, the table)
need not know. Every machine of the cluster needs this package.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.folder import TRAINING_FILE

COMMAND = "from multiscale_transformer.cli.main import main; raise SystemExit(main())"
LOCAL = "local"  # as an address: a cluster of this machine alone, for the length of the command


@dataclass(frozen=True)
class Job:
    """A model to train: its name, its shape, and the folder where its checkpoint belongs."""

    name: str
    size: str
    out: Path
    minutes: float | None = None
    seed: int = 0
    threads: int = 1

    def arguments(self, root: str) -> list[str]:
        """Of the command that trains it below `root`."""
        words = ["zoo", "train", self.name, "--size", self.size, "--root", root, "--threads", str(self.threads)]
        words += ["--seed", str(self.seed)]
        return words if self.minutes is None else [*words, "--minutes", str(self.minutes)]


def train_on(address: str, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
    """Train `jobs` on the cluster and write their checkpoints; yields each as it is done, with what went wrong, or "".

    Raises AxlError without Ray, or where no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise AxlError("--ray needs Ray: pip install 'axl[cluster]'; without --ray models are trained one by one") from error
    try:
        ray.init(None if address == LOCAL else address, log_to_driver=False, configure_logging=False)
    except Exception as error:  # Ray raises anything, plain Exception too
        raise AxlError(f"no Ray cluster answers at {address}: {(str(error).splitlines() or ['no reason given'])[0]}") from error
    try:
        yield from _trained(ray, jobs)
    finally:
        ray.shutdown()


def _trained(ray: Any, jobs: Sequence[Job]) -> Iterator[tuple[Job, str]]:
    waiting = {ray.remote(num_cpus=job.threads, max_retries=1)(train_here).remote(job): job for job in jobs}
    while waiting:
        (done, *_), _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(done)
        try:
            write_folder(job.out, ray.get(done))
        except (ray.exceptions.RayError, AxlError) as error:
            yield job, (str(error).strip().splitlines() or ["it failed"])[-1]
        else:
            yield job, ""


def train_here(job: Job) -> dict[str, bytes]:
    """Train a model in a scratch folder and return the files of its checkpoint by name. Raises AxlError with the last line."""
    with tempfile.TemporaryDirectory(prefix="axl-zoo-") as scratch:
        command = [sys.executable, "-c", COMMAND, *job.arguments(scratch)]
        ran = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        folder = Path(scratch, job.out.name)
        if ran.returncode or not (folder / TRAINING_FILE).exists():
            lines = ran.stderr.strip().splitlines()
            raise AxlError(f"{job.name} was not trained: {lines[-1] if lines else f'status {ran.returncode}'}")
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def write_folder(folder: Path, contents: dict[str, bytes]) -> None:
    """Write the files of a checkpoint, all or none. Raises AxlError for a name that leads out of the folder."""
    for name in contents:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise AxlError(f"{name!r} is no file of a checkpoint")
    with files.new_folder(folder) as place:
        for name, content in contents.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
