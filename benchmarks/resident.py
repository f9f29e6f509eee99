"""Memory and start of the engine as a user's process has them: in a child of its own, without PyTorch.

`python -m benchmarks.resident FOLDER BITS` loads a checkpoint, writes a few bytes and prints what that
takes.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from multiscale_transformer.errors import AxlError

WRITTEN = 64


def measure_resident(folder: Path, bits: int) -> dict[str, float]:
    """Resident bytes of a process that serves the checkpoint, of its imports alone, and of its weights.

    Raises AxlError when the child fails or the system does not say (only Linux does).
    """
    command = [sys.executable, "-m", "benchmarks.resident", str(folder), str(bits)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise AxlError(f"measuring memory failed: {answer.stderr.strip().splitlines()[-1] if answer.stderr else 'no answer'}")
    figures: dict[str, float] = json.loads(answer.stdout)
    return figures


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


def resident_bytes(process: int | str = "self") -> int:
    """Of a process. Raises AxlError where the system does not say, or when the process is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except OSError as error:
        raise AxlError("resident memory is not to be had: the process has gone, or this is no Linux") from error
    return pages * 4096


def _serve(folder: Path, bits: int) -> dict[str, float]:
    from multiscale_transformer.engine.engine import load_engine
    from multiscale_transformer.engine.scheduler import Request, Scheduler
    from multiscale_transformer.model.sampling import Sampling
    from multiscale_transformer.quantization.quantize import bytes_of

    imports = resident_bytes()
    engine = load_engine(folder, bits=bits)
    list(Scheduler(engine).stream(Request([256, *b"import "], Sampling(temperature=0.0, max_new_tokens=WRITTEN))))
    return {
        "resident_bytes": resident_bytes(),
        "imports_bytes": imports,
        "weights_bytes": bytes_of(engine.network.packed),
        "torch_loaded": "torch" in sys.modules,
    }


if __name__ == "__main__":
    print(json.dumps(_serve(Path(sys.argv[1]), int(sys.argv[2]))))
