"""Batched retrieval: memory features for whole windows at once, on all cores: what training and scoring need."""

# Shape suffixes: B rows, T positions.

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.context_search import HISTORY, Chains, clear, new_chains
from multiscale_transformer.kernels.memory_features import (
    Reader,
    Scratch,
    new_reader,
    new_scratch,
    read,
    read_history,
)
from multiscale_transformer.memory.document import Document, path_of, shown_sources
from multiscale_transformer.memory.in_ram import corpus_in_ram, ram_bytes
from multiscale_transformer.memory.index import MEMORY_FOLDER, load_index
from multiscale_transformer.memory.shard import Shard, build_shard

if TYPE_CHECKING:  # decoding opens memories without PyTorch
    from multiscale_transformer.model.memory_tensors import MemoryTensors

Ids = npt.NDArray[np.int64]
LeaveOut = Literal["document", "source"]  # what a window that is learnt from must not see: its own document, or its source
_VERSIONS = itertools.count()  # tell memories apart without holding on to them
NO_HISTORY = np.frombuffer(b"", np.uint8)


@dataclass(frozen=True)
class Window:
    """Ids to read, and what stands before them in their document.

    `history` are bytes, of which the last HISTORY count; `from_start` says that the document begins with it. `document` is the
    number of the document that the window begins in, when the memory leaves documents out, or -1. A `no_lookup` window gets no
    features.
    """

    ids: Ids
    history: npt.NDArray[np.uint8] = field(default_factory=lambda: NO_HISTORY)
    from_start: bool = True
    document: int = -1
    no_lookup: bool = False


class CorpusMemory:
    """The shards of one or several indexes as one memory.

    With `leave_out` a window never sees the document it stands in, or any of the same source. Its number is that of the
    document over all shards, and BOS counts on to the next one.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        removed: Sequence[Sequence[int]] = (),
        *,
        leave_out: LeaveOut | None = None,
        threads: int = 1,
    ) -> None:
        self.shards, self.threads = list(shards), threads
        self.version = next(_VERSIONS)
        self._in_ram = corpus_in_ram(self.shards, removed, _groups(self.shards, leave_out) if leave_out else None)
        self.corpus = self._in_ram.corpus  # valid for as long as this memory lives
        self._removed = [set(gone) for gone in removed] or [set() for _ in self.shards]
        self._documents = sum(map(len, self.shards)) if leave_out else 0
        self._idle: list[tuple[Chains, Reader, Scratch]] = []  # what a look-up needs of its own, when nobody looks up with it

    @property
    def nbytes(self) -> int:
        """Bytes of RAM that looking up takes; memories with the same shards share them."""
        return ram_bytes(self.shards)

    def shown_name(self, shard: int, document: int) -> str:
        """What a person calls a document of a shard: its path, with as much of its source as tells the sources apart."""
        source, name = self.shards[shard].sources[document], self.shards[shard].names[document]
        return path_of(self._shown_sources[source], name)

    def documents(self) -> Iterator[Document]:
        """The documents that are not removed, of shards that keep their texts. Raises AxlError when the texts are damaged."""
        for shard, number in self._places():
            if shard.texts is not None:
                yield shard.document(number)

    def digest(self) -> str:
        """SHA-256 over what is looked up in: the documents that are not removed, whatever index they stand in."""
        digests = sorted(shard.digests[number] for shard, number in self._places())
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def is_removed(self, shard: int, document: int) -> bool:
        """Whether a document of a shard is removed."""
        return document in self._removed[shard]

    def _places(self) -> Iterator[tuple[Shard, int]]:
        """Each document that is not removed, by its shard and its number in that."""
        for shard, gone in zip(self.shards, self._removed, strict=True):
            yield from ((shard, number) for number in range(len(shard)) if number not in gone)

    @functools.cached_property
    def _shown_sources(self) -> dict[str, str]:
        return shown_sources(source for shard in self.shards for source in shard.sources)

    def recall(self, windows: Sequence[Window], *, threads: int | None = None) -> MemoryTensors:
        """What the memories say after each id of each window, padded at the end to the longest.

        Several threads may call this at once, and then had better look up on one thread each.
        """
        from multiscale_transformer.model.memory_tensors import no_features

        longest = max(len(window.ids) for window in windows)
        recall = no_features(len(windows), longest)
        threads = min(threads or self.threads, len(windows))
        if threads == 1:
            self._read(windows, recall, iter(range(len(windows))))
        else:
            rows = iter(range(len(windows)))  # shared: whoever is ready takes the next one (`next` is atomic)
            with ThreadPoolExecutor(threads) as pool:
                for worker in [pool.submit(self._read, windows, recall, rows) for _ in range(threads)]:
                    worker.result()
        return recall

    def _tools(self, capacity: int) -> tuple[Chains, Reader, Scratch]:
        """Chains for texts of `capacity` bytes, a reader and scratch, which nobody else uses until they are idle again."""
        try:
            tools = self._idle.pop()
        except IndexError:
            return new_chains(capacity), new_reader(len(self.shards)), new_scratch()
        return tools if len(tools[0].text_T) >= capacity else (new_chains(capacity), *tools[1:])

    def _read(self, windows: Sequence[Window], recall: MemoryTensors, rows: Iterator[int]) -> None:
        tools = chains, reader, scratch = self._tools(HISTORY + 2 * recall.symbols_BTM.shape[1] + 8)
        for row in rows:
            window = windows[row]
            if window.no_lookup:
                continue
            clear(chains)
            reader.state[0] = 0
            reader.words.at[0] = -1
            reader.state["own_document"] = window.document
            history = window.history[-HISTORY:]
            read_history(self.corpus, chains, reader, history, window.from_start and len(history) == len(window.history))
            length = len(window.ids)
            out = (recall.symbols_BTM, recall.bins_BTMJ, recall.lengths_BT2)
            read(
                self.corpus,
                chains,
                reader,
                scratch,
                window.ids,
                0,
                self._documents,
                *(part[row, :length].numpy() for part in out),
            )
        self._idle.append(tools)


def _groups(shards: Sequence[Shard], leave_out: LeaveOut) -> list[npt.NDArray[np.int32]]:
    """For each document (D) of each shard the number, over all shards, of the first that is left out with it."""
    first: dict[object, int] = {}
    sources = enumerate(source for shard in shards for source in shard.sources)
    numbers = [first.setdefault(source if leave_out == "source" else number, number) for number, source in sources]
    ends = np.cumsum([len(shard) for shard in shards])[:-1]
    return np.split(np.array(numbers, np.int32), ends)


def warm_up() -> None:
    """Compile the kernels, or load them where an earlier run has compiled them: seconds that should not count as work."""
    shard, _ = build_shard([("", b"a")])
    for leave_out in (None, "document"):
        CorpusMemory([shard], leave_out=leave_out).recall([Window(np.array([0]))])


def open_memory(folders: Sequence[Path], *, beside: Sequence[Shard] = (), threads: int = 1) -> CorpusMemory:
    """The indexes in `folders` as one memory, with the shards `beside` them.

    Raises AxlError when an index is missing, damaged or of another version.
    """
    indexes = [load_index(folder) for folder in folders]
    shards = [*(shard for index in indexes for shard in index.shards), *beside]
    removed: list[Sequence[int]] = [sorted(gone) for index in indexes for gone in index.removed]
    return CorpusMemory(shards, [*removed, *[()] * len(beside)], threads=threads)


def memory_of(checkpoint: Path, fused: bool, folders: Sequence[Path] | None, *, threads: int = 1) -> CorpusMemory | None:
    """What a model looks up in: the indexes in `folders`, nothing if there are none, or the checkpoint's own if it is None.

    `fused` says whether the model has learned to look up. Raises AxlError when it has not and indexes are given, or when an
    index is missing, damaged or of another version.
    """
    if folders and not fused:
        raise AxlError(f"the model in {checkpoint} was trained without a memory, so it cannot use one; train it anew")
    if folders is None and fused:
        folders = [checkpoint / MEMORY_FOLDER]
    return open_memory(folders, threads=threads) if folders else None
