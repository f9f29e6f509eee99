"""Compiling all kernels for this CPU, at once and on all cores, so that nobody waits for it in silence later.

The compiler of Numba runs in one thread of a process, whatever the number of threads, so each part of the kernels is compiled
by a process of its own; they write into the cache that all later processes read (`kernels.kernel_cache`). A part runs the
kernels on a tiny model or text, through the functions that others call, so they are compiled for the types that are used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from multiscale_transformer.engine.engine import Read, load_engine
from multiscale_transformer.kernels import jit as compiling
from multiscale_transformer.kernels.context_search import clear, new_chains
from multiscale_transformer.kernels.convolution import PATCHES, convolve
from multiscale_transformer.kernels.gemm_int8 import CHUNK, ROWS
from multiscale_transformer.kernels.kernel_cache import KernelCache, cache_folders, writable_folder
from multiscale_transformer.kernels.quantized_linear import new_activations
from multiscale_transformer.kernels.regions import label_regions, measure_regions
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.provenance import provenance
from multiscale_transformer.memory.reader import TextReader, no_features
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.quantization.quantize import Packer

Progress = Callable[[int, int], None]  # kernels that are compiled, of how many

_TEXT = b"def area(self, radius: float) -> float:\n    return 3.14\n"
_EVERY_SECONDS = 0.2


def missing_kernels() -> list[str]:
    """The names of the kernels that no earlier process has compiled for these sources."""
    kept = {_known_by(path.name) for folder in cache_folders() for path in folder.glob("*.kernel")}
    return sorted(cache.name for cache in _caches() if cache.known_by not in kept)


def compile_kernels(checkpoint: Path, on_progress: Progress = lambda done, total: None) -> None:
    """Compile what is missing, each part in a process of its own; where nothing can be kept, all in this one.

    `checkpoint` is any model: all have kernels of the same types. A part that fails is compiled by whoever needs it, who then
    meets the error.
    """
    if not missing_kernels():
        return
    total = len(_caches())
    on_progress(0, total)
    if writable_folder() is None:
        for number, part in enumerate(_PARTS.values(), 1):
            part(checkpoint)
            on_progress(total * number // len(_PARTS), total)
        return
    with _workers(checkpoint) as workers:
        while any(worker.poll() is None for worker in workers):
            time.sleep(_EVERY_SECONDS)
            on_progress(total - len(missing_kernels()), total)
    on_progress(total, total)


@contextmanager
def _workers(checkpoint: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A process for each part, which see the modules that this one sees; none outlives the block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    no_output = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", __spec__.name]
    workers = [subprocess.Popen([*command, part, str(checkpoint)], env=environment, **no_output) for part in _PARTS]  # type: ignore[call-overload]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()


def _caches() -> list[KernelCache]:
    return [kernel._cache for kernel in compiling.KERNELS]


def _known_by(file_name: str) -> str:
    """A kernel and its sources, without the types and the CPU it is compiled for."""
    return file_name.rsplit("-", 1)[0]


def _compile_memory(checkpoint: Path) -> None:
    """Search and look-up, taking back what was read, and explaining."""
    shard, _ = build_shard([("a", _TEXT)])
    memory = CorpusMemory([shard])
    clear(new_chains(8))
    reader = TextReader(memory)
    reader.keep()
    reader.read(list(_TEXT))
    reader.restore()
    provenance(memory, _TEXT, _TEXT)


def _compile_engine(checkpoint: Path) -> None:
    """A step of a model."""
    engine = load_engine(checkpoint, cache_bytes=1 << 24)
    sequence = engine.new_sequence(list(_TEXT[:8]))
    engine.read([Read(sequence, list(_TEXT[:8]), no_features(8), 8)])


def _compile_pictures(checkpoint: Path) -> None:
    """A convolution, which models that see are made of, and the regions of a picture."""
    packer = Packer()
    index = packer.add(np.ones((1, 4), np.float32), np.zeros(1, np.float32), 8)
    patch_K, rows_MN = np.zeros(CHUNK, np.float32), np.zeros((PATCHES, ROWS), np.float32)
    picture_BHWC, out_BHWN = np.ones((1, 2, 2, 1), np.float32), np.zeros((1, 1, 1, 1), np.float32)
    room = new_activations(PATCHES, CHUNK), patch_K, rows_MN
    convolve(packer.packed(), index, picture_BHWC, 2, 2, 0, *room, True, out_BHWN)
    labels_HW = np.empty((2, 2), np.int32)
    count = label_regions(np.zeros((2, 2, 3), np.uint8), labels_HW)
    measure_regions(labels_HW, np.zeros(count, np.int32), np.empty((count, 4), np.int32))


_PARTS = {"engine": _compile_engine, "memory": _compile_memory, "pictures": _compile_pictures}


if __name__ == "__main__":
    _PARTS[sys.argv[1]](Path(sys.argv[2]))
