"""Where the shards of a corpus memory lie in RAM, and how kernels read them.

Every shard has its own arrays, which all memories share that it belongs to. Kernels know them by their addresses, so a memory
is opened, or goes on with one shard more, without a copy of any. Whoever calls a kernel keeps the shards alive meanwhile.
"""

# Shape suffixes: N rows (one for each byte of the text), C checkpoints, X places of all kinds, D documents, S shards, K kinds.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from multiscale_transformer.kernels.jit import jit_device
from multiscale_transformer.kernels.records import Records, record

# How many rows a shard has, the number of its first document over all shards, how many documents it has, the bits of its
# buckets, and the addresses of its arrays. `documents_N` (of which document of the shard a row is), `gone_D` (whether it is
# removed) and `groups_D` (the group that is left out with it) are 0 where nobody asks.
SHARD = record(
    "rows", "first_document", "documents", "bits",
    "next_N", "checkpoints_C256", "documents_N", "gone_D", "groups_D", "text_N", "places_X", "checks_X", "buckets", "starts_D",
)  # fmt: skip


class Corpus(NamedTuple):
    """What the kernels read, for all shards together (one record of SHARD each).

    `starts_S257` are the rows of contexts that end in a smaller byte. A kind begins at `place_begins_SK` among the places of a
    shard, and at `bucket_begins_SK` among the buckets, which say where the keys with the same first bits begin in the kind.
    """

    shards: Records
    starts_S257: npt.NDArray[np.int64]
    place_begins_SK: npt.NDArray[np.int64]
    bucket_begins_SK: npt.NDArray[np.int64]


def _loader(bits: int, *, signed: bool) -> Any:
    """A function of kernels: the number `index` of an array of integers of so many bits at an address, as int64."""

    @intrinsic
    def load(typing: Any, address: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            at = context.cast(builder, arguments[1], signature.args[1], types.int64)
            kind = ir.IntType(bits)
            number = builder.load(builder.gep(builder.inttoptr(arguments[0], kind.as_pointer()), [at]))
            wide = ir.IntType(64)
            return number if bits == wide.width else builder.sext(number, wide) if signed else builder.zext(number, wide)

        return types.int64(types.int64, index), codegen

    return load


load_uint8, load_uint16, load_uint32 = _loader(8, signed=False), _loader(16, signed=False), _loader(32, signed=False)
load_int32, load_int64 = _loader(32, signed=True), _loader(64, signed=True)


@jit_device
def group_of(corpus, document):
    """The group of a document, which has its number over all shards; -1 where there is none."""
    for shard in range(len(corpus.shards)):
        of = corpus.shards[shard]
        if of.groups_D != 0 and 0 <= document - of.first_document < of.documents:
            return load_int32(of.groups_D, document - of.first_document)
    return np.int64(-1)


@jit_device
def is_skipped(corpus, shard, document, own_group):
    """Whether a document of a shard is removed, or of the group `own_group` (-1: of none)."""
    of = corpus.shards[shard]
    if own_group >= 0 and load_int32(of.groups_D, document) == own_group:
        return True
    return of.gone_D != 0 and load_uint8(of.gone_D, document) != 0
