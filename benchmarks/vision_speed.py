"""Speed and memory of reading pages as a user's process has them: in a child of its own, on one thread, without PyTorch.

`python -m benchmarks.vision_speed CHECKPOINT PAGES` reads pages and prints what that takes.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.result import Row
from multiscale_transformer.errors import AxlError

READ = 40


class Speed(Row):
    """Pages a second on one thread, elements and layout of each, and what the process holds then."""

    pages_per_second: float
    rss_bytes: int
    torch_loaded: bool


def measure_speed(folder: Path, pages: Path) -> Speed:
    """What reading pages with a checkpoint takes. Raises AxlError when the child fails."""
    one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    command = [sys.executable, "-m", "benchmarks.vision_speed", str(folder), str(pages)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **one})
    if answer.returncode != 0:
        raise AxlError(f"measuring speed failed: {answer.stderr.strip().splitlines()[-1] if answer.stderr else 'no answer'}")
    return Speed.model_validate_json(answer.stdout)


def _measured(folder: Path, pages: Path) -> Speed:
    from multiscale_transformer.vision.dataset import read_pages
    from multiscale_transformer.vision.held_out import read
    from multiscale_transformer.vision.inference import PageReader, load_reader

    reader = load_reader(folder)
    assert isinstance(reader, PageReader)
    seconds = []
    for page in itertools.islice(read_pages(pages), READ + 1):
        begin = time.perf_counter()
        read(reader, page)
        seconds.append(time.perf_counter() - begin)
    rest = seconds[1:] or seconds  # the first one loads the kernels
    return Speed(
        pages_per_second=len(rest) / sum(rest),
        rss_bytes=psutil.Process().memory_info().rss,
        torch_loaded="torch" in sys.modules,
    )


if __name__ == "__main__":
    print(_measured(Path(sys.argv[1]), Path(sys.argv[2])).model_dump_json())
