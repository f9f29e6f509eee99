"""The compiled engine: loads a checkpoint without PyTorch and reads new bytes of any number of sequences in one step.

`Engine.new_sequence` begins a text, `Engine.read` reads more of several texts at once (prefill, decoding and verification are
the same) and says what may come next, `Sequence.roll_back` takes bytes back. Requests, drawing and streaming are built on
these three (`engine.scheduler`).
"""

# Shape suffixes as in `network`.

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

from multiscale_transformer.engine.compiled_model import WANTED, Batch, Network, Work, forward
from multiscale_transformer.engine.kv_cache import PagedKVCache
from multiscale_transformer.engine.thread_choice import ThreadChoice
from multiscale_transformer.engine.weights import build_network, read_weights
from multiscale_transformer.errors import AxlError
from multiscale_transformer.kernels.barrier import new_barrier
from multiscale_transformer.kernels.gemm_int8 import ROWS
from multiscale_transformer.kernels.quantized_linear import new_activations
from multiscale_transformer.memory.reader import MemoryFeatures
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.model.vocabulary import VOCAB_SIZE
from multiscale_transformer.quantization.engine_file import read_bits

Logits = npt.NDArray[np.float32]

MAX_BATCH_TOKENS = 64  # of a step
FITS_CACHES = 4_000_000  # parameters up to which 8 bits a weight cost no time; beyond, the memory bus decides and 4 are faster
CACHE_BYTES = 512 << 20
MIN_PARALLEL_MACS = 8_000_000  # products of a step below which several threads are never faster than one


class Sequence:
    """One text, as far as it is read: `length` ids, whose state is in `pages`."""

    def __init__(self, pool: PagedKVCache, root: object, ids: Items[int]) -> None:
        self._pool, self._root = pool, root
        self.pages = pool.find(root, ids[:-1])
        self.length = len(self.pages) * pool.page
        self.ids = list(ids[: self.length])
        self._settled = len(self.pages)  # pages that others may find

    def settle(self) -> None:
        """Make full pages findable: what was read will not be taken back."""
        page = self._pool.page
        for number in range(self._settled, self.length // page):
            before = self.pages[number - 1] if number else None
            self._pool.name(self.pages[number], self._root, before, self.ids[number * page : (number + 1) * page])
        self._settled = max(self._settled, self.length // page)

    def roll_back(self, count: int) -> None:
        """Take back the last `count` ids: the state is as if they had never been read.

        Raises ValueError when fewer were read, AxlError when a page that others may use has to be copied and none is free.
        """
        if not 0 <= count <= self.length:
            raise ValueError(f"cannot take back {count} ids: {self.length} were read")
        self.length -= count
        del self.ids[self.length :]
        whole, rest = divmod(self.length, self._pool.page)
        if rest and whole < self._settled:
            self.pages[whole] = self._pool.copy(self.pages[whole])
        self._settled = min(self._settled, whole)
        while len(self.pages) > whole + bool(rest):
            self._pool.release(self.pages.pop())

    def close(self) -> None:
        """Give the pages back; what is in settled ones can be found again."""
        while self.pages:
            self._pool.release(self.pages.pop())


@dataclass(frozen=True)
class Read:
    """More of a sequence to read: `ids`, what the memories say after each, and after how many of the last to give logits."""

    sequence: Sequence
    ids: Items[int]
    found: MemoryFeatures
    wanted: int = 1


class Engine:
    """A model ready to decode. Not safe for several threads at once: one thread owns it (`engine.scheduler`)."""

    def __init__(self, config: ModelConfig, network: Network, *, threads: int = 1, cache_bytes: int = CACHE_BYTES) -> None:
        self.config, self.network, self.threads = config, network, threads
        self.pool = PagedKVCache(config, cache_bytes)
        self._work = _new_work(config, network, threads)
        self._helpers = _started(threads - 1) if threads > 1 else None
        self._choice = ThreadChoice(threads)
        self._products = config.decode_bytes(dtype_bytes=1.0)
        self._last: list[int] = []

    def new_sequence(self, ids: Items[int], root: object = ()) -> Sequence:
        """Begin a text with `ids`. Pages of an earlier text that began alike under the same `root` are used again, so that
        some may be read already (`length`); the last one never is.

        `root` stands for all that the state of a text depends on beside its ids: the memory, and what the memory saw before.
        """
        return Sequence(self.pool, root, ids)

    def read(self, reads: Items[Read]) -> list[Logits]:
        """Read all at once, MAX_BATCH_TOKENS ids together at most; for each, the logits (wanted, V) after its last ids.

        Raises AxlError when the cache is full: then nothing was read.
        """
        self._make_room(reads)
        batch, counts = self._batch(reads)
        logits_WV = np.empty((sum(counts), -(-VOCAB_SIZE // ROWS) * ROWS), np.float32)
        self._forward(batch, logits_WV)
        for part in reads:
            part.sequence.length += len(part.ids)
            part.sequence.ids += part.ids
        self._last = [len(part.ids) for part in reads]
        ends = np.cumsum(counts)
        return [logits_WV[end - count : end, :VOCAB_SIZE] for end, count in zip(ends, counts, strict=True)]

    def last_states(self) -> list[npt.NDArray[np.float32]]:
        """The states (T, E) under the head for the ids of each part of the last `read`; valid until the next one."""
        ends = np.cumsum(self._last)
        return [self._work.x_SRE[0, end - count : end] for end, count in zip(ends, self._last, strict=True)]

    def close(self) -> None:
        """Stop the helping threads; what is read later is read by the calling thread alone."""
        if self._helpers is not None:
            self._helpers.shutdown()
            self._helpers = None

    def _make_room(self, reads: Items[Read]) -> None:
        taken: list[tuple[Sequence, int]] = []
        try:
            for part in reads:
                sequence = part.sequence
                needed = -(-(sequence.length + len(part.ids)) // self.pool.page)
                while len(sequence.pages) < needed:
                    sequence.pages.append(self.pool.take())
                    taken.append((sequence, sequence.pages[-1]))
        except Exception:
            for sequence, page in reversed(taken):
                sequence.pages.remove(page)
                self.pool.release(page)
            raise

    def _batch(self, reads: Items[Read]) -> tuple[Batch, list[int]]:
        count = sum(len(part.ids) for part in reads)
        if not 0 < count <= MAX_BATCH_TOKENS:
            raise ValueError(f"a step reads 1 to {MAX_BATCH_TOKENS} ids, got {count}")
        tables = np.zeros((len(reads), max(len(part.sequence.pages) for part in reads)), np.int32)
        rows: list[tuple[int, int, int]] = []  # one array at the end: a few for each request would take longer than the step
        wanted = 0
        for number, part in enumerate(reads):
            sequence, new = part.sequence, len(part.ids)
            tables[number, : len(sequence.pages)] = sequence.pages
            first, wanted = wanted - (new - part.wanted), wanted + part.wanted
            rows += [(number, sequence.length + k, first + k if k >= new - part.wanted else -1) for k in range(new)]
        rows_R3 = np.array(rows, np.int64)
        found = MemoryFeatures(*map(np.concatenate, zip(*(part.found for part in reads), strict=True)))
        tokens_R4 = np.empty((count, 4), np.int16)
        tokens_R4[:, 0] = [one for part in reads for one in part.ids]
        tokens_R4[:, 1], tokens_R4[:, 2:] = found.symbols_TM[:, 0], found.depths_T2
        if wanted < count:
            asked_R = rows_R3[:, WANTED] >= 0
            found = MemoryFeatures(found.symbols_TM[asked_R], found.states_TMJ[asked_R], found.depths_T2[asked_R])
        return Batch(rows_R3, tables, tokens_R4, *found), [part.wanted for part in reads]

    def _forward(self, batch: Batch, logits_WV: Logits) -> None:
        arguments = (self.network, self.pool.arrays, batch, self._work, logits_WV)
        rows = len(batch.rows_R3)
        if self._helpers is None or rows * self._products < MIN_PARALLEL_MACS:
            forward(*arguments, 0, 1)
            return
        threads, begin = self._choice.threads(rows), time.perf_counter()
        self._work.barrier[:] = 0
        helpers = [self._helpers.submit(forward, *arguments, thread, threads) for thread in range(1, threads)]
        forward(*arguments, 0, threads)
        for helper in helpers:
            helper.result()
        self._choice.took(threads, rows, time.perf_counter() - begin)


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
    if bits is None:
        chosen = read_bits(folder)
        bits_of: Mapping[str, int] | int = chosen or (8 if config.parameters() < FITS_CACHES else 4)
    else:
        bits_of = bits
    network = build_network(config, read_weights(folder), bits_of)
    return Engine(config, network, threads=threads, cache_bytes=cache_bytes)


def _new_work(config: ModelConfig, network: Network, threads: int) -> Work:
    d, factors = config.d_model, config.downsample_factors
    wide = max(3 * d, 2 * config.d_ff, 2 * config.cross_ff, len(factors) * d)
    wider = max(factors[-1], len(factors)) * d

    def floats(*shape: int) -> npt.NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    inputs = int(network.packed.maps_L9[:, 5].max())
    return Work(
        floats(len(factors), MAX_BATCH_TOKENS, d),
        np.zeros(len(factors), np.int64),
        np.zeros((len(factors), MAX_BATCH_TOKENS), np.int64),
        floats(MAX_BATCH_TOKENS, wide),
        floats(MAX_BATCH_TOKENS, wider),
        floats(MAX_BATCH_TOKENS, max(d, len(factors))),
        floats(threads, config.max_seq_len + 2 * network.shape.page),
        floats(threads, config.head_dim),
        new_activations(MAX_BATCH_TOKENS, inputs),
        floats(threads, 512),
        new_barrier(),
    )
