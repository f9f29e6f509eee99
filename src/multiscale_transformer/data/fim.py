"""Fill in the middle (FIM): training text rearranged into the layout that prompts have (`engine.infill`).

A model that reads left to right learns to fill in the middle when part of its training text is rearranged so that the middle
of a span comes after its suffix (Bavarian et al. 2022, arXiv 2207.14255). Prompts put the suffix first: prefix token, suffix
token, suffix, middle token, prefix, and the middle follows (SPM, as that paper and Code Llama have it). So the middle goes on
where the prefix ends, byte by byte, as all text does; a small net need not learn to jump back over the suffix, and while
somebody types a prompt only grows at its end. `PREFIX_FIRST` of the training text has prefix, suffix, middle (PSM), which is
what stock llama.cpp's `/infill` sends. The FIM tokens are control bytes that `data.filters` keeps out of the corpus.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from multiscale_transformer.data.fim_cuts import Cuts, draw_cuts
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

PREFIX_FIRST = 0.2  # share of the rearranged windows
SHORTEST = 48  # bytes of the shortest rearranged text; the longest has as many as the window

Ids = npt.NDArray[np.int64]


def rearrange(span: Ids, cuts: Cuts, *, prefix_first: bool = False) -> Ids:
    """`span` cut at `cuts` into prefix, middle and suffix and laid out with the FIM tokens: three ids longer.

    `cuts` are two positions with 0 <= first <= second <= len(span); `restore` is the inverse.
    """
    first, second = cuts
    prefix, middle, suffix = span[:first], span[first:second], span[second:]
    if prefix_first:
        return np.concatenate(([FIM_PREFIX], prefix, [FIM_SUFFIX], suffix, [FIM_MIDDLE], middle))
    return np.concatenate(([FIM_PREFIX, FIM_SUFFIX], suffix, [FIM_MIDDLE], prefix, middle))


def restore(ids: Ids) -> Ids:
    """The span that `rearrange` laid out as `ids`. Raises ValueError when `ids` does not have that layout."""
    tokens = np.flatnonzero((ids >= FIM_PREFIX) & (ids <= FIM_MIDDLE))
    if len(tokens) != 3 or tokens[0] != 0 or ids[tokens].tolist() != [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE]:
        raise ValueError("not one span laid out as prefix, suffix, middle")
    _, suffix, middle = tokens
    return np.concatenate((ids[1:suffix], ids[middle + 1 :], ids[suffix + 1 : middle]))


PLAIN, OPENED, BEFORE_CURSOR, MIDDLE = range(4)  # what an id of a training window is; OPENED is a BOS within a document


class Rearranged(NamedTuple):
    """A training window: its ids, and what each of them is (uint8: PLAIN, OPENED, BEFORE_CURSOR, MIDDLE with its EOS)."""

    ids: Ids
    parts: npt.NDArray[np.uint8]


def fill_in_the_middle(window: Ids, rng: np.random.Generator) -> Rearranged:
    """A training window with the part of one document rearranged, of the same length.

    The part is what the window holds of the document under a random position. It becomes a row of prompts with their middles:
    each starts behind BOS, as a prompt does, is cut as `data.fim_cuts` says, and its middle ends with EOS, so the model
    learns where a middle stops. Their lengths are drawn log-uniformly, and the window cuts off the last one wherever it ends.
    Were the end of a middle the end of the window, a model would learn to count to it, and end no middle of another prompt
    (docs/log.md). A document that began before the window goes on for a random length first.
    """
    ends = np.flatnonzero(window >= BOS)
    where = int(np.searchsorted(ends, rng.integers(len(window))))
    begin = int(ends[where - 1]) + 1 if where else 0  # the first byte of the document, or of the window
    end = int(ends[where]) if where < len(ends) else len(window)
    if begin >= end:
        return Rearranged(window, np.full(len(window), PLAIN, np.uint8))
    first = begin - 1 if begin and window[begin - 1] == BOS else begin + int(rng.integers(max(1, (end - begin) // 2)))
    pieces, parts = [window[:first]], [np.full(first, PLAIN, np.uint8)]
    at, opened = max(begin, first), PLAIN if first == begin - 1 else OPENED
    while at < end:
        length = int(SHORTEST * max(1.0, len(window) / SHORTEST) ** rng.random())
        text = window[at : min(end, at + length)]
        ids, kinds = _prompt_with_middle(text, rng)
        kinds[0] = opened
        pieces.append(ids)
        parts.append(kinds)
        at, opened = at + len(text), OPENED
    pieces.append(window[end + 1 :])
    parts.append(np.full(len(pieces[-1]), PLAIN, np.uint8))
    return Rearranged(np.concatenate(pieces)[: len(window)], np.concatenate(parts)[: len(window)])


def _prompt_with_middle(text: Ids, rng: np.random.Generator) -> Rearranged:
    """BOS, a text rearranged, and EOS."""
    first, second = draw_cuts(text, rng)
    ids = np.concatenate(([BOS], rearrange(text, (first, second), prefix_first=bool(rng.random() < PREFIX_FIRST)), [EOS]))
    parts = np.full(len(ids), BEFORE_CURSOR, np.uint8)
    parts[len(ids) - 1 - (second - first) :] = MIDDLE
    return Rearranged(ids, parts)
