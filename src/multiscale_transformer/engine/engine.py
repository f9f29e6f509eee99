"""The compiled inference engine: loads a checkpoint without PyTorch and runs forward passes over a paged KV cache.

`Engine.new_sequence` begins a text, where the prefix cache knows its beginning behind it; `Engine.read` reads more of several
texts at once (prefill, decode and the verification of drafts are the same) and gives logits; `Sequence.roll_back` takes bytes
back. Requests, sampling and streaming are built on these three (`engine.scheduler`).
"""

# Shape suffixes as in `kernels.network`.

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from collections.abc import Sequence as Items
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from multiscale_transformer.engine.compiled_model import forward
from multiscale_transformer.engine.kv_cache import PagedKVCache
from multiscale_transformer.engine.thread_choice import ThreadChoice
from multiscale_transformer.engine.weights import build_network, read_weights
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.gemm_int8 import ROWS
from multiscale_transformer.kernels.network import FINE, ROW, TOKEN, Batch, Network, new_buffers
from multiscale_transformer.kernels.records import Records
from multiscale_transformer.memory.reader import MemoryFeatures, joined
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.model.vocabulary import VOCAB_SIZE
from multiscale_transformer.quantization.engine_file import read_bits

Logits = npt.NDArray[np.float32]

MAX_BATCH_TOKENS = 64  # of a step
INT8_MAX_PARAMETERS = (
    4_000_000  # parameters up to which 8 bits a weight cost no time; beyond, the memory bus decides and 4 are faster
)
CACHE_BYTES = 512 << 20
MIN_PARALLEL_MACS = 8_000_000  # products of a step below which several threads are never faster than one


class Sequence:
    """One text, as far as it is read: `length` ids, whose state is in `pages` of the KV cache."""

    def __init__(self, cache: PagedKVCache, root: object, ids: Items[int]) -> None:
        self._cache, self._root = cache, root
        self.pages = cache.lookup(root, ids[:-1])
        self.length = len(self.pages) * cache.page
        self.ids = list(ids[: self.length])
        self._committed = len(self.pages)  # pages that the prefix cache knows

    def commit(self) -> None:
        """Insert full pages into the prefix cache: what was read will not be rolled back."""
        page = self._cache.page
        for number in range(self._committed, self.length // page):
            before = self.pages[number - 1] if number else None
            ids = self.ids[number * page : (number + 1) * page]
            self.pages[number] = self._cache.insert(self.pages[number], self._root, before, ids)
        self._committed = max(self._committed, self.length // page)

    def reuse(self, ids: Items[int], features: MemoryFeatures) -> bool:
        """Read a page of ids, with what the memories say after each, from the prefix cache, where it is there for the same.

        Nothing is done, and False returned, where it is not, or where what was read does not end with a page of the cache.
        """
        if len(ids) != self._cache.page or self.length != self._committed * self._cache.page:
            return False
        page = self._cache.find(self.pages[-1] if self.pages else None, tokens_of(ids, features))
        if page is None:
            return False
        self.pages.append(page)
        self.ids += ids
        self.length += len(ids)
        self.commit()
        return True

    def roll_back(self, count: int) -> None:
        """Take back the last `count` ids (rejected drafts): the state is as if they had never been read.

        Raises ValueError when fewer were read, AxlError when a page that others may use has to be copied and none is free.
        """
        if not 0 <= count <= self.length:
            raise ValueError(f"cannot take back {count} ids: {self.length} were read")
        self.length -= count
        del self.ids[self.length :]
        whole, rest = divmod(self.length, self._cache.page)
        if rest and whole < self._committed:
            self.pages[whole] = self._cache.copy(self.pages[whole])
        self._committed = min(self._committed, whole)
        while len(self.pages) > whole + bool(rest):
            self._cache.release(self.pages.pop())

    def close(self) -> None:
        """Give the pages back; committed ones stay in the prefix cache."""
        while self.pages:
            self._cache.release(self.pages.pop())


@dataclass(frozen=True)
class Read:
    """More of a sequence to read: `ids`, what the memories say after each, and how many of the last want logits."""

    sequence: Sequence
    ids: Items[int]
    features: MemoryFeatures
    n_logits: int = 1


class Engine:
    """A model ready to decode. Not safe for several threads at once: one thread owns it (`engine.scheduler`)."""

    def __init__(self, config: ModelConfig, network: Network, *, threads: int = 1, cache_bytes: int = CACHE_BYTES) -> None:
        self.config, self.network, self.threads = config, network, threads
        self.cache = PagedKVCache(config, cache_bytes)
        self._work = new_buffers(network, MAX_BATCH_TOKENS, threads, config.max_seq_len)
        self._helpers = _started(threads - 1) if threads > 1 else None
        self._choice = ThreadChoice(threads)
        self._row_macs = config.decode_bytes(dtype_bytes=1.0)  # multiply-adds of a row: each weight is read for one
        self._last_lengths: list[int] = []

    def new_sequence(self, ids: Items[int], root: object = ()) -> Sequence:
        """Begin a text with `ids`. Pages of an earlier text with the same prefix under the same `root` are used again, so that
        some may be read already (`length`); the last one never is.

        `root` stands for all that the state of a text depends on beside its ids: the memory, and what the memory saw before.
        """
        return Sequence(self.cache, root, ids)

    def read(self, reads: Items[Read]) -> list[Logits]:
        """Read all at once, MAX_BATCH_TOKENS ids together at most; for each, the logits (n_logits, V) after its last ids.

        Raises AxlError when the KV cache is full: then nothing was read.
        """
        self._allocate(reads)
        batch = self._batch(reads)
        counts = [read.n_logits for read in reads]
        logits_WV = np.empty((sum(counts), -(-VOCAB_SIZE // ROWS) * ROWS), np.float32)
        self._forward(batch, logits_WV)
        for read in reads:
            read.sequence.length += len(read.ids)
            read.sequence.ids += read.ids
        self._last_lengths = [len(read.ids) for read in reads]
        ends = np.cumsum(counts)
        return [logits_WV[end - count : end, :VOCAB_SIZE] for end, count in zip(ends, counts, strict=True)]

    def last_states(self) -> list[npt.NDArray[np.float32]]:
        """The states (T, E) under the head for the ids of each part of the last `read`; valid until the next one."""
        ends = np.cumsum(self._last_lengths)
        return [self._work.x_SRE[FINE, end - count : end] for end, count in zip(ends, self._last_lengths, strict=True)]

    def close(self) -> None:
        """Stop the helping threads; what is read later is read by the calling thread alone."""
        if self._helpers is not None:
            self._helpers.shutdown()
            self._helpers = None

    def _allocate(self, reads: Items[Read]) -> None:
        """Give every sequence the pages that it needs for its new ids, or none of them any."""
        allocated: list[tuple[Sequence, int]] = []
        try:
            for read in reads:
                sequence = read.sequence
                needed = -(-(sequence.length + len(read.ids)) // self.cache.page)
                while len(sequence.pages) < needed:
                    sequence.pages.append(self.cache.allocate())
                    allocated.append((sequence, sequence.pages[-1]))
        except Exception:
            for sequence, page in reversed(allocated):
                sequence.pages.remove(page)
                self.cache.release(page)
            raise

    def _batch(self, reads: Items[Read]) -> Batch:
        count = sum(len(read.ids) for read in reads)
        if not 0 < count <= MAX_BATCH_TOKENS:
            raise ValueError(f"a step reads 1 to {MAX_BATCH_TOKENS} ids, got {count}")
        page_tables = np.zeros((len(reads), max(len(read.sequence.pages) for read in reads)), np.int32)
        rows: list[tuple[int, int, int]] = []  # one array at the end: a few for each request would take longer than the step
        n_logits = 0
        for number, read in enumerate(reads):
            sequence, new = read.sequence, len(read.ids)
            page_tables[number, : len(sequence.pages)] = sequence.pages
            first, n_logits = n_logits - (new - read.n_logits), n_logits + read.n_logits
            rows += [(number, sequence.length + k, first + k if k >= new - read.n_logits else -1) for k in range(new)]
        rows_R = np.array(rows, ROW)
        features = joined([read.features for read in reads])
        tokens_R = tokens_of([index for read in reads for index in read.ids], features)
        if n_logits < count:
            features = features.part(rows_R["logits_row"] >= 0)
        return Batch(rows_R, page_tables, tokens_R, *features)

    def _forward(self, batch: Batch, logits_WV: Logits) -> None:
        arguments = (self.network, self.cache.pages, batch, self._work, logits_WV)
        rows = len(batch.rows_R)
        if self._helpers is None or rows * self._row_macs < MIN_PARALLEL_MACS:
            forward(*arguments, 0, 1)
            return
        threads, begin = self._choice.threads(rows), time.perf_counter()
        self._work.barrier[:] = 0
        helpers = [self._helpers.submit(forward, *arguments, thread, threads) for thread in range(1, threads)]
        forward(*arguments, 0, threads)
        for helper in helpers:
            helper.result()
        self._choice.record(threads, rows, time.perf_counter() - begin)


def tokens_of(ids: Items[int], features: MemoryFeatures) -> Records:
    """What the net reads, (T,) of TOKEN: ids with what the memories say after each."""
    tokens_T = np.zeros(len(ids), TOKEN)
    tokens_T["id"] = ids
    tokens_T["symbol"] = features.symbols_TM[:, 0]
    tokens_T["corpus_length"], tokens_T["context_length"] = features.lengths_T2.T
    return tokens_T


def _started(count: int) -> ThreadPoolExecutor:
    """Helping threads, all of them running: one that fails to start in the middle of a step would be waited for for ever.

    Raises AxlError when the system gives no more threads.
    """
    helpers, ready = ThreadPoolExecutor(count, "axl-engine"), threading.Barrier(count + 1)
    try:
        for _ in range(count):
            helpers.submit(ready.wait)
    except RuntimeError as error:
        ready.abort()
        helpers.shutdown()
        raise AxlError(f"the system gives no {count + 1} threads ({error}); choose fewer with --threads") from error
    ready.wait()
    return helpers


def load_engine(folder: Path, *, bits: int | None = None, threads: int = 1, cache_bytes: int = CACHE_BYTES) -> Engine:
    """The engine of a checkpoint, with `bits` for every linear map or as its `engine.json` says.

    Without such a file small models have 8 bits and large ones 4. Raises AxlError when the folder is no checkpoint or damaged.
    """
    config = read_config(folder)
    by_size = 8 if config.parameters() < INT8_MAX_PARAMETERS else 4
    widths: Mapping[str, int] | int = bits or read_bits(folder) or by_size
    network = build_network(config, read_weights(folder), widths)
    return Engine(config, network, threads=threads, cache_bytes=cache_bytes)
