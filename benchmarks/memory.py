"""What a memory is worth: the figures of `axl bench memory` beside bits per byte.

Line completion with the same lines for every model; bits per byte of packages that neither training nor index has seen; the
time that building an index and looking up takes, on one core.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contest import Measure
from multiscale_transformer.data.corpus import load_documents
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.filters import MAX_BYTES
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.evaluation.compression_baselines import peers, ppmd_apart_bits_per_byte
from multiscale_transformer.evaluation.lines import draw_lines, score_lines
from multiscale_transformer.memory.index import build_index, load_index
from multiscale_transformer.memory.lookup import CorpusMemory, Window, warm_up
from multiscale_transformer.memory.reader import MemoryReader
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS

UNSEEN = ("pathspec", "yaml")  # packages that AXL itself needs, so they are everywhere, and that Python's library lacks
LINES = 200
BATCH_WINDOW, BATCH_ROWS, ROUNDS = 2048, 4, 20


def unseen_packages(names: tuple[str, ...] = UNSEEN) -> dict[str, Documents]:
    """The source files of installed packages. Raises AxlError when one is not installed."""
    packages = {}
    for name in names:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise AxlError(f"the package {name} is not installed; install AXL with pip install -e .")
        packages[name] = load_documents([f"{spec.submodule_search_locations[0]}/**/*.py"])
    return packages


def measure_with(held_out: Documents, packages: dict[str, Documents], lines: int = LINES) -> Measure:
    """Line completion on `held_out` and bits per byte of `packages`, for each trained model of a contest."""
    drawn = draw_lines(held_out, lines)

    def measure(model: MultiScaleTransformer, memory: CorpusMemory | None) -> dict[str, Any]:
        unseen = {name: score_documents(model, documents, memory=memory).bits_per_byte for name, documents in packages.items()}
        in_order = {
            name: score_in_order(model, documents, memory) for name, documents in packages.items() if memory is not None
        }
        score = score_lines(model, drawn, memory)
        return {
            "unseen": unseen,
            "unseen_in_order": in_order,
            "lines_exact": score.exact,
            "lines_similarity": score.similarity,
            "lines": score.lines,
        }

    return measure


def score_in_order(model: MultiScaleTransformer, documents: Documents, memory: CorpusMemory) -> float:
    """Bits per byte of `documents` read in the order of their names, each indexed once it is scored.

    So a file may draw on the files before it, as PPMd does, which reads a package as one stream; and as a user's editor does
    whose project is indexed.
    """
    read: list[tuple[str, bytes]] = []
    bits = 0.0
    for name, content in sorted(documents):
        shards = [*memory.shards, build_shard(read)[0]] if read else memory.shards
        grown = CorpusMemory(shards, threads=memory.threads)
        bits += score_documents(model, [(name, content)], memory=grown).bits
        read.append((name, content))
    return bits / documents.nbytes


def unseen_peers(train: Documents, packages: dict[str, Documents]) -> dict[str, dict[str, float]]:
    """What the compressors make of each package; `ppmd_apart` is PPMd that reads each file by itself."""
    return {
        name: {**peers(train, documents), "ppmd_apart": ppmd_apart_bits_per_byte(documents)}
        for name, documents in packages.items()
    }


def index_growth(folders: Sequence[Path], megabytes: Sequence[int]) -> list[dict[str, Any]]:
    """What an index takes as its text grows: `time_memory` for files of `folders`, in one random order, up to each size.

    Raises AxlError when the folders hold less text than the largest size.
    """
    texts = _texts(folders, max(megabytes) * 1_000_000)
    ends, rows = np.cumsum([len(content) for _, content in texts]), []
    for size in sorted(megabytes):
        documents = Documents.from_items(texts[: int(np.searchsorted(ends, size * 1_000_000)) + 1])
        rows.append(time_memory(documents, documents))
    return rows


def _texts(folders: Sequence[Path], nbytes: int) -> list[tuple[str, bytes]]:
    """Text files until they have `nbytes`, in a random order that is always the same."""
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    random.Random(0).shuffle(paths)
    texts, read = [], 0
    for path in paths:
        if read >= nbytes:
            break
        try:
            content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b"\0"
            content.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if content and b"\0" not in content:
            texts.append((str(path), content))
            read += len(content)
    if read < nbytes:
        raise AxlError(f"the folders hold {read / 1e6:,.0f} MB of text; name more of them, or smaller --megabytes")
    return texts


def time_memory(train: Documents, held_out: Documents) -> dict[str, Any]:
    """Seconds and bytes of an index of `train`, and microseconds of a look-up in it, on one core."""
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        begin = time.perf_counter()
        build_index(folder, train)
        built = time.perf_counter() - begin
        disk = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        memory = CorpusMemory(load_index(folder).shards)
        return {
            "index_seconds": built,
            "index_bytes": disk,
            "corpus_bytes": train.nbytes,
            "batch_microseconds": _batch_microseconds(memory, held_out),
            "single_microseconds": _single_microseconds(memory, held_out),
        }


def _batch_microseconds(memory: CorpusMemory, documents: Documents) -> float:
    """Median over rounds of the time for a position in windows from the middle of documents."""
    times = []
    for turn in range(ROUNDS):
        windows = []
        for row in range(BATCH_ROWS):
            content = documents[(turn * BATCH_ROWS + row) % len(documents)]
            begin = max(0, len(content) - BATCH_WINDOW) // 2
            ids = np.frombuffer(content[begin : begin + BATCH_WINDOW], np.uint8).astype(np.int64)
            windows.append(Window(ids, np.frombuffer(content[:begin], np.uint8)))
        begin_time = time.perf_counter()
        memory.recall(windows)
        times.append((time.perf_counter() - begin_time) / sum(len(window.ids) for window in windows))
    return statistics.median(times) * 1e6


def _single_microseconds(memory: CorpusMemory, documents: Documents) -> float:
    """Median time of a look-up of one position after the other."""
    reader, times = MemoryReader(memory), []
    for symbol in [BOS, *documents[0][:4000]]:
        begin = time.perf_counter()
        reader.read([symbol])
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6
