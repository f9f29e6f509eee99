"""Building an index and looking up in it, on one core, as the text grows."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from benchmarks.command import main
from benchmarks.result import Result, Row, origin
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.filters import MAX_BYTES
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.index import build_index, load_index
from multiscale_transformer.memory.lookup import CorpusMemory, Window, warm_up
from multiscale_transformer.memory.reader import MemoryReader
from multiscale_transformer.model.vocabulary import BOS

SIZES = (30, 100, 300, 1000)  # MB
BATCH_WINDOW, BATCH_ROWS, ROUNDS = 2048, 4, 20
SINGLE_BYTES = 4000  # of a document that is looked up byte by byte


class IndexCost(Row):
    """Seconds and bytes of an index, and microseconds of a look-up in it, on one core."""

    index_seconds: float
    index_bytes: int
    corpus_bytes: int
    batch_microseconds: float
    single_microseconds: float


class IndexResult(Result):
    """The cost at each size."""

    kind: Literal["index"] = "index"
    growth: list[IndexCost]


def run(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="Folders of text files.")],
    megabytes: Annotated[
        list[int] | None, typer.Option(metavar="N", min=1, help=f"Sizes (default: {', '.join(map(str, SIZES))}).")
    ] = None,
) -> IndexResult:
    """Building an index and looking up in it, on one core, as the text grows."""
    sizes = sorted(megabytes or SIZES)
    texts = _texts(folders, max(sizes) * 1_000_000)
    ends, growth = np.cumsum([len(content) for _, content in texts]), []
    for size in sizes:
        documents = Documents.from_items(texts[: int(np.searchsorted(ends, size * 1_000_000)) + 1])
        growth.append(index_cost(documents, documents))
    return IndexResult(**origin("index", 1).model_dump(), growth=growth)


def index_cost(train: Documents, held_out: Documents) -> IndexCost:
    """What an index of `train` costs, looked up in with `held_out`."""
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        begin = time.perf_counter()
        build_index(folder, train)
        built = time.perf_counter() - begin
        memory = CorpusMemory(load_index(folder).shards)
        return IndexCost(
            index_seconds=built,
            index_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
            corpus_bytes=train.nbytes,
            batch_microseconds=_batch_microseconds(memory, held_out),
            single_microseconds=_single_microseconds(memory, held_out),
        )


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
    for symbol in [BOS, *documents[0][:SINGLE_BYTES]]:
        begin = time.perf_counter()
        reader.read([symbol])
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e6


def table(result: IndexResult) -> str:
    """A row for each size."""
    rows = result.growth
    head = "| text, MB | seconds to build | of a linear growth | bytes on disk a byte | µs a look-up in a batch |"
    lines, first = [head, "|---:|---:|---:|---:|---:|"], rows[0].index_seconds / rows[0].corpus_bytes
    for row in rows:
        each, disk = row.index_seconds / row.corpus_bytes, row.index_bytes / row.corpus_bytes
        cells = f"{row.index_seconds:,.1f} | {each / first:.2f} | {disk:.2f} | {row.batch_microseconds:.1f} |"
        lines.append(f"| {row.corpus_bytes / 1e6:,.0f} | {cells}")
    return "\n".join(lines) + "\n"


RESULT = IndexResult

if __name__ == "__main__":
    main("index")
