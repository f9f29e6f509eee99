"""From the text of a request to the ids that a model reads.

Editors send holes as text with the marker words of some other model; they are understood here, so that any template that an
editor knows works. Long texts are cut to what the model and its memory can use, and how much was cut is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from multiscale_transformer.data.fim import fitted_fim_ids
from multiscale_transformer.model.vocabulary import BOS, EOS

MAX_PROMPT_BYTES = 1 << 17  # bytes before the cursor that the memory reads; the net reads as many as its context holds

# Prefix, suffix and middle words of StarCoder, of Qwen and CodeGemma, of Code Llama and of DeepSeek.
_MARKS = (
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<PRE>", "<SUF>", "<MID>"),
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),
)
MARKER_STOPS = ("<fim_", "<|fim_", "<|endoftext|>", "<file_sep>")


@dataclass(frozen=True)
class Prompt:
    """Ids to continue, the bytes before them for finding sources, and how many bytes of the text the net does not see."""

    ids: list[int]
    before: bytes
    left_out: int
    hole: bool = False


def text_prompt(text: str, context: int) -> Prompt:
    """A text to continue, or, where it has an editor's marks, a hole to fill."""
    hole = find_hole(text)
    if hole is not None:
        return hole_prompt(*hole, context)
    return plain_prompt(text.encode("utf-8", "surrogatepass"), context)


def plain_prompt(raw: bytes, context: int) -> Prompt:
    """Bytes to continue."""
    return Prompt([BOS, *raw[-MAX_PROMPT_BYTES:]], raw[-MAX_PROMPT_BYTES:], max(0, len(raw) + 1 - context))


def hole_prompt(prefix: str, suffix: str, context: int) -> Prompt:
    """A hole to fill between two texts."""
    before, after = (text.encode("utf-8", "surrogatepass") for text in (prefix, suffix))
    ids, left_out = fitted_fim_ids(before, after, context)
    return Prompt(ids, before[-MAX_PROMPT_BYTES:], left_out, hole=True)


def id_prompt(ids: list[int], context: int) -> Prompt:
    """Ids as they are, behind BOS; EOS before a text (as evaluation harnesses send it) is a beginning too."""
    text = ids[1:] if ids[:1] in ([BOS], [EOS]) else ids
    return Prompt(
        [BOS, *text[-MAX_PROMPT_BYTES:]], bytes(i for i in text[-MAX_PROMPT_BYTES:] if i < BOS), max(0, len(text) + 1 - context)
    )


def find_hole(text: str) -> tuple[str, str] | None:
    """Prefix and suffix of a text that begins with an editor's mark; elsewhere they are text, of a file that speaks of them."""
    for marks in _MARKS:
        cut = _cut(text, marks)
        if cut is not None:
            return cut[0], cut[1]
    cut = _cut(text, ("[SUFFIX]", "[PREFIX]"))
    return (cut[1], cut[0]) if cut is not None else None


def _cut(text: str, marks: Sequence[str]) -> list[str] | None:
    """What stands between these marks, in this order, and, after two of them, to the end of the text."""
    if not text.startswith(marks[0]):
        return None
    places, at = [], 0
    for mark in marks:
        found = text.find(mark, at)
        if found < 0:
            return None
        at = found + len(mark)
        places.append((found, at))
    ends = [begin for begin, _ in places[1:]] + ([len(text)] if len(marks) == 2 else [])
    return [text[after:end] for (_, after), end in zip(places, ends, strict=False)]
