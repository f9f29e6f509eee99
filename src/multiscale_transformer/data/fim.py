"""Fill in the middle (FIM): the layout of a prompt, and training text rearranged into it.

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
TRUNCATION_STEPS = 16  # a prefix that is too long begins at one of so many places of a window, so that it seldom changes

Ids = npt.NDArray[np.int64]


def fim_ids(prefix: bytes, suffix: bytes) -> list[int]:
    """The ids to complete when text is wanted between `prefix` and `suffix`: what follows them is the middle."""
    return [BOS, FIM_PREFIX, FIM_SUFFIX, *suffix, FIM_MIDDLE, *prefix]


def fitted_fim_ids(prefix: bytes, suffix: bytes, context: int) -> tuple[list[int], int]:
    """`fim_ids` of what fits into a window of `context` ids with room left to write, and how many bytes were cut.

    The end of the prefix and the beginning of the suffix stay; the suffix gets a third of the room, or what the prefix leaves.
    A prefix that is cut begins at a multiple of a step, so that the prompt of the next keystroke begins as this one does.
    """
    room = context - 4  # BOS and the three FIM tokens
    if len(prefix) + len(suffix) <= room - context // 8:
        return fim_ids(prefix, suffix), 0
    room -= context // 4
    near_suffix = suffix[: max(room // 3, room - len(prefix))]
    begin, step = max(0, len(prefix) + len(near_suffix) - room), max(1, context // TRUNCATION_STEPS)
    begin = min(len(prefix), -(-begin // step) * step)
    return fim_ids(prefix[begin:], near_suffix), begin + len(suffix) - len(near_suffix)


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


class FimSpan(NamedTuple):
    """Where a window is rearranged: the places of BOS, of the first id of the middle, and of the EOS after it.

    All three are 0 in a window that is not.
    """

    begin: int = 0
    middle: int = 0
    end: int = 0


def fill_in_the_middle(window: Ids, rng: np.random.Generator) -> tuple[Ids, FimSpan]:
    """A training window with the part of one document rearranged, of the same length, and where.

    The part is what the window holds of the document under a random position, cut as `data.fim_cuts` says. It starts behind
    BOS and its middle ends with EOS even where the document began before the window or goes on behind it: a prompt starts so,
    and the model has to learn where a middle stops. Room for the FIM tokens comes from the end of the window. A window
    without room comes back as it is.
    """
    ends = np.flatnonzero(window >= BOS)
    at = rng.integers(len(window))
    where = int(np.searchsorted(ends, at))
    begin = int(ends[where - 1]) + 1 if where else 1
    end = int(ends[where]) if where < len(ends) else len(window)
    keep = min(end, len(window) - 4)
    if keep <= begin:
        return window, FimSpan()
    text = window[begin:keep]
    first, second = draw_cuts(text, rng)
    rearranged = rearrange(text, (first, second), prefix_first=bool(rng.random() < PREFIX_FIRST))
    last = begin + len(rearranged)
    ids = np.concatenate((window[: begin - 1], [BOS], rearranged, [EOS], window[end + 1 :]))[: len(window)]
    return ids, FimSpan(begin - 1, last - (second - first), last)
