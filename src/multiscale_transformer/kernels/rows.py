"""Where the rows of a scale lie: their pages, their places in them, and how many of a page a query may read.

A page covers a run of bytes, and rows lie in the page of the byte that they are stamped with. A scale of fixed stride has as
many rows in every page; a word stack makes rows where words end, so a page has room for one at every byte and keeps at each
byte how many there are so far (`TOKEN.word_rows`). Keys that a query may read are thus the first few of every page.
"""

# Shape suffixes: P pages, V vocabulary.

# Numba infers types; those of named tuples are written for the reader.
# mypy: disallow-incomplete-defs=false

from __future__ import annotations

import numpy as np

from multiscale_transformer.kernels.jit import jit_device
from multiscale_transformer.kernels.network import Batch, Network, Pages
from multiscale_transformer.model.word_ends import ALWAYS, IN_WORD, KINDS, MOST_SINCE, OTHER

KINDS_V = np.frombuffer(KINDS, np.uint8)


@jit_device
def token_at(net: Network, pages: Pages, batch: Batch, sequence, position):
    """What a sequence has at a position: of TOKEN."""
    return pages.tokens[batch.page_tables[sequence, position // net.shape.page], position % net.shape.page]


@jit_device
def place_in_page(net: Network, pages: Pages, batch: Batch, row, scale):
    """The place of the row that a byte completes, in the page of that byte."""
    if scale == net.layers.words:
        return token_at(net, pages, batch, row.sequence, row.position).word_rows - 1
    return row.position % net.shape.page // net.layers.scales_S[scale].factor


@jit_device
def seen_rows(net: Network, pages: Pages, batch: Batch, row, source, seen_P):
    """How many rows of scale `source` a byte may read, and of how many pages `seen_P` says how many rows of each are read: of
    none where all but the last are full."""
    if source != net.layers.words:
        return (row.position + 1) // net.layers.scales_S[source].factor, 0
    last = row.position // net.shape.page
    total = seen_P[last] = np.int64(token_at(net, pages, batch, row.sequence, row.position).word_rows)
    for number in range(last):
        seen_P[number] = token_at(net, pages, batch, row.sequence, (number + 1) * net.shape.page - 1).word_rows
        total += seen_P[number]
    return total, last + 1


@jit_device
def place_word(net: Network, pages: Pages, batch: Batch, row):
    """Whether a byte, which is in its page, makes a row of the word stack (`model.word_ends`); the page keeps what follows."""
    token = token_at(net, pages, batch, row.sequence, row.position)
    kind = KINDS_V[token.id]
    before_kind, rows, since = OTHER, 0, 0
    if row.position > 0:
        before = token_at(net, pages, batch, row.sequence, row.position - 1)
        before_kind, since = KINDS_V[before.id], before.since
        if row.position % net.shape.page > 0:
            rows = before.word_rows
    ends = kind == ALWAYS or (kind == OTHER and before_kind == IN_WORD)
    token.word_rows = rows + ends
    token.since = 0 if ends else min(MOST_SINCE, since + 1)
    return ends
