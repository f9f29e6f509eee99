"""The shards of a memory in RAM, as the kernels of backward and structural search read them (`kernels.corpus`).

A shard is laid once, when it is first looked up in, and all memories that it belongs to share that. So a memory whose index has
changed by a small shard is open in no time, and old and new one live side by side for as long as a request needs the old one.
"""

# Shape suffixes: N rows (one for each byte of the text), C checkpoints, D documents, S shards, K kinds.

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from multiscale_transformer.kernels.corpus import SHARD, Corpus
from multiscale_transformer.kernels.memory_search import CHECKPOINT_BITS, count_checkpoints
from multiscale_transformer.model.memory_spec import NOTHING, NUM_CORPUS_STRUCTURES, SEPARATOR

if TYPE_CHECKING:
    from multiscale_transformer.memory.shard import Shard
    from multiscale_transformer.memory.structure import Structure


@dataclass(frozen=True)
class ShardInRam:
    """Copies of what look-ups read of a shard: numpy asks for huge pages, without which every look-up pays twice."""

    next_N: npt.NDArray[np.uint8]
    checkpoints_C256: npt.NDArray[np.uint32]
    starts_D: npt.NDArray[np.int64]
    structure: Structure

    @property
    def nbytes(self) -> int:
        """Bytes of RAM."""
        parts: tuple[npt.NDArray[Any], ...] = (self.next_N, self.checkpoints_C256, self.starts_D, *self.structure.arrays)
        return sum(part.nbytes for part in parts)


def in_ram(next_N: npt.NDArray[np.uint8], starts_D: npt.NDArray[np.int64], structure: Structure) -> ShardInRam:
    """Copy the parts of a shard that may lie on the disk, and count its checkpoints."""
    copy_N = np.array(
        next_N, np.uint8
    )  # counted in the copy: mapped arrays cannot be written, which for the compiler is another type
    return ShardInRam(copy_N, count_checkpoints(copy_N, CHECKPOINT_BITS), np.array(starts_D, np.int64), structure.copy())


def ram_bytes(shards: Iterable[Shard]) -> int:
    """Bytes of RAM of shards, each of which is there once, however many memories it belongs to."""
    return sum(shard.ram_bytes for shard in {id(shard): shard for shard in shards}.values())


@dataclass(frozen=True)
class CorpusInRam:
    """What the kernels read, and all that has to live as long."""

    corpus: Corpus
    owners: tuple[Any, ...]


def corpus_in_ram(
    shards: Sequence[Shard], removed: Sequence[Collection[int]] = (), groups: Sequence[npt.NDArray[np.int32]] | None = None
) -> CorpusInRam:
    """Shards as one corpus; `removed` lists documents for each, and `groups` (D each) which are left out with one another.

    Rows know their document where something is removed or left out, which takes 4 bytes of RAM a row.
    """
    removed = removed or [()] * len(shards)
    records, owners = np.zeros(len(shards), SHARD), list[Any]()
    starts_S257 = np.zeros((len(shards), 257), np.int64)
    place_begins_SK = np.zeros((len(shards), NUM_CORPUS_STRUCTURES), np.int64)
    bucket_begins_SK = np.zeros((len(shards), NUM_CORPUS_STRUCTURES), np.int64)
    first_document = 0
    for number, (shard, gone) in enumerate(zip(shards, removed, strict=True)):
        ram = shard.in_ram
        text_N, places_X, checks_X, buckets_KB = ram.structure.arrays
        width = buckets_KB.shape[1]
        starts_S257[number] = _starts(ram.checkpoints_C256)
        place_begins_SK[number, 1:] = np.cumsum(buckets_KB[:-1, -1], dtype=np.int64)
        bucket_begins_SK[number] = width * np.arange(NUM_CORPUS_STRUCTURES)
        groups_D = groups[number] if groups else None
        documents_N = shard.document_of_row if gone or groups_D is not None else None
        gone_D = _flags(len(shard), gone) if gone else None
        flags = (documents_N, gone_D, groups_D)
        arrays = (ram.next_N, ram.checkpoints_C256, *flags, text_N, places_X, checks_X, buckets_KB, ram.starts_D)
        sizes = (len(ram.next_N), first_document, len(shard), (width - 1).bit_length() - 1)
        records[number] = (*sizes, *(0 if array is None else array.ctypes.data for array in arrays))
        owners.append(arrays)  # these very ones: two threads may have made two sets, of which the shard keeps one
        first_document += len(shard)
    return CorpusInRam(Corpus(records, starts_S257, place_begins_SK, bucket_begins_SK), tuple(owners))


def _flags(count: int, chosen: Collection[int]) -> npt.NDArray[np.uint8]:
    flags = np.zeros(count, np.uint8)
    flags[list(chosen)] = 1
    return flags


def _starts(checkpoints_C256: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    counts = checkpoints_C256[-1].astype(np.int64)
    counts[SEPARATOR] += 1  # the first byte of the text comes after nothing, so no row has it as its next byte;
    counts[NOTHING] -= 1  # that row has NOTHING instead
    return np.concatenate(([0], np.cumsum(counts)))
