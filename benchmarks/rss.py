"""Memory and start of the engine as a user's process has them: in a child of its own, without PyTorch.

`python -m benchmarks.rss FOLDER BITS` loads a checkpoint, writes a few bytes and prints what that takes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.result import Row
from multiscale_transformer.errors import AxlError

WRITTEN = 64


class ServingMemory(Row):
    """Resident bytes of a process that serves a checkpoint, of its imports alone, and of its weights."""

    rss_bytes: int
    imports_bytes: int
    weights_bytes: int
    torch_loaded: bool


def measure_rss(folder: Path, bits: int) -> ServingMemory:
    """What a process that serves the checkpoint in `folder` holds. Raises AxlError when the child fails."""
    command = [sys.executable, "-m", "benchmarks.rss", str(folder), str(bits)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise AxlError(f"measuring memory failed: {answer.stderr.strip().splitlines()[-1] if answer.stderr else 'no answer'}")
    return ServingMemory.model_validate_json(answer.stdout)


def measure_start(folder: Path, rounds: int) -> float:
    """Median seconds from `axl complete` typed to the end of a completion of one byte, all caches warm."""
    code = "from multiscale_transformer.cli.main import main; main()"
    options = ("--model", str(folder), "--memory", "none", "--max-tokens", "1")
    command = [sys.executable, "-c", code, "complete", "import ", *options]
    times = []
    for _ in range(rounds + 1):
        begin = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])


def rss_bytes(process: int | None = None) -> int:
    """Resident memory of a process, or of this one. Raises AxlError when the process is gone."""
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.Error as error:
        raise AxlError(f"the process whose memory is measured is gone ({error})") from error


def _serve(folder: Path, bits: int) -> ServingMemory:
    from multiscale_transformer.engine.engine import load_engine
    from multiscale_transformer.engine.scheduler import Request, Scheduler
    from multiscale_transformer.model.sampling import Sampling
    from multiscale_transformer.quantization.quantize import bytes_of

    imports = rss_bytes()
    engine = load_engine(folder, bits=bits)
    list(Scheduler(engine).stream(Request([256, *b"import "], Sampling(temperature=0.0, max_new_tokens=WRITTEN))))
    return ServingMemory(
        rss_bytes=rss_bytes(),
        imports_bytes=imports,
        weights_bytes=bytes_of(engine.network.packed),
        torch_loaded="torch" in sys.modules,
    )


if __name__ == "__main__":
    print(_serve(Path(sys.argv[1]), int(sys.argv[2])).model_dump_json())
