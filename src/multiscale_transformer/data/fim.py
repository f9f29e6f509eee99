"""Fill in the middle: the layout of a prompt, and training text rearranged into it.

A model that reads left to right learns to fill in the middle when part of its training text is rearranged so that the middle
of a span comes after its suffix (Bavarian et al. 2022, arXiv 2207.14255). The layout is prefix, suffix, middle, each behind
its token; these FIM tokens are control bytes that `data.filters` keeps out of the corpus.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX


def fim_ids(prefix: bytes, suffix: bytes) -> list[int]:
    """The ids to complete when text is wanted between `prefix` and `suffix`: what follows them is the middle."""
    return [BOS, FIM_PREFIX, *prefix, FIM_SUFFIX, *suffix, FIM_MIDDLE]


def fitted_fim_ids(prefix: bytes, suffix: bytes, context: int) -> tuple[list[int], int]:
    """`fim_ids` of what fits into a window of `context` ids with room left to write, and how many bytes were cut.

    The end of the prefix and the beginning of the suffix stay; the suffix gets a third of the room, or what the prefix leaves.
    """
    room = context - 4  # BOS and the three FIM tokens
    if len(prefix) + len(suffix) <= room - context // 8:
        return fim_ids(prefix, suffix), 0
    room -= context // 4
    near_suffix = suffix[: max(room // 3, room - len(prefix))]
    near_prefix = prefix[max(0, len(prefix) + len(near_suffix) - room) :]
    truncated = len(prefix) + len(suffix) - len(near_prefix) - len(near_suffix)
    return fim_ids(near_prefix, near_suffix), truncated


def prompt_ids(before: bytes, after: bytes | None, context: int) -> tuple[list[int], int]:
    """What a model with a window of `context` ids reads to go on after `before`, or to fill the gap between it and `after`.

    Also how many bytes of the text are truncated, since they have no place in the window.
    """
    if after is None:
        return [BOS, *before], max(0, len(before) - context + 1)
    return fitted_fim_ids(before, after, context)


def rearrange(span: npt.NDArray[np.int64], cuts: tuple[int, int]) -> npt.NDArray[np.int64]:
    """`span` cut at `cuts` into prefix, middle and suffix and laid out with the FIM tokens: three ids longer.

    `cuts` are two positions with 0 <= first <= second <= len(span); `restore` is the inverse.
    """
    first, second = cuts
    prefix, middle, suffix = span[:first], span[first:second], span[second:]
    return np.concatenate(([FIM_PREFIX], prefix, [FIM_SUFFIX], suffix, [FIM_MIDDLE], middle))


def restore(ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The span that `rearrange` laid out as `ids`. Raises ValueError when `ids` does not have that layout."""
    tokens = np.flatnonzero((ids >= FIM_PREFIX) & (ids <= FIM_MIDDLE))
    if len(tokens) != 3 or tokens[0] != 0 or ids[tokens].tolist() != [FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE]:
        raise ValueError("not one span laid out as prefix, suffix, middle")
    _, suffix, middle = tokens
    return np.concatenate((ids[1:suffix], ids[middle + 1 :], ids[suffix + 1 : middle]))


def fill_in_the_middle(window: npt.NDArray[np.int64], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A training window with the part of one document rearranged, of the same length.

    The part is what the window holds of the document under a random position, the two cuts are uniform, as in the
    context-level variant of the paper. It starts behind BOS and its middle ends with EOS even where the document began
    before the window or goes on behind it: a fill-in-the-middle prompt starts so, and the model has to learn where a middle
    stops. Room for the FIM tokens comes from the end of the window. A window without room comes back as it is.
    """
    ends = np.flatnonzero(window >= BOS)
    at = rng.integers(len(window))
    where = int(np.searchsorted(ends, at))
    begin = int(ends[where - 1]) + 1 if where else 1
    end = int(ends[where]) if where < len(ends) else len(window)
    keep = min(end, len(window) - 4)
    if keep <= begin:
        return window
    first, second = np.sort(rng.integers(keep - begin + 1, size=2))
    middle_last = rearrange(window[begin:keep], (int(first), int(second)))
    return np.concatenate((window[: begin - 1], [BOS], middle_last, [EOS], window[end + 1 :]))[: len(window)]
