"""What an engine is asked for a cursor in a text: ids to go on after, and where the completion ends.

`continue_text` goes on after a text as raw completion does, and nothing but the model ends it. `fill_gap` is what editors ask:
a prefix and a suffix in the layout of `data.fim`, and the stop rules of the cursor's place. Texts whose lines end with CRLF are
read as if they ended with LF, which is what models have learned, and their completions are written with CRLF.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from multiscale_transformer.engine.stop_rules import NO_RULES, StopRules, rules_at, rules_if
from multiscale_transformer.model.vocabulary import BOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

AFTER = 40  # bytes of what follows by which candidates are ordered
TRUNCATION_STEPS = 16  # a prefix that is too long begins at one of so many places of a window, so that it seldom changes


@dataclass(frozen=True)
class Gap:
    """What stands around a gap, by which candidates for it are ordered: ids before it, and the first ids after it."""

    before: list[int]
    after: list[int]


@dataclass(frozen=True)
class Cursor:
    """Ids to go on after, how many bytes of the text have no place in the model's window, and where the completion ends."""

    ids: list[int]
    truncated: int
    rules: StopRules = NO_RULES
    crlf: bool = False
    gap: Gap | None = None

    def with_stop_rules(self, wanted: bool | None, before: bytes, after: bytes = b"") -> Cursor:
        """The same with stop rules or without; None leaves it as it is."""
        rules = rules_if(wanted, self.rules, before, after)
        return self if rules is self.rules else replace(self, rules=rules)


def continue_text(before: bytes, context: int) -> Cursor:
    """Go on after a text; the model has a window of `context` ids."""
    return Cursor([BOS, *before], max(0, len(before) - context + 1))


def fill_gap(before: bytes, after: bytes, context: int, *, min_indent: int = 0) -> Cursor:
    """Fill the gap between two texts; no line of it is indented less than `min_indent` columns."""
    crlf = has_crlf(before, after)
    if crlf:
        before, after = before.replace(b"\r\n", b"\n"), after.replace(b"\r\n", b"\n")
    rules = rules_at(before, after, min_indent=min_indent)
    if not after.strip():  # at the end of a file there is no gap, and training has few texts with an empty suffix
        return replace(continue_text(before, context), rules=rules, crlf=crlf)
    ids, truncated = fitted_fim_ids(before, after, context)
    near = before[_cut(len(before) - context // 2, context) :]
    return Cursor(ids, truncated, rules, crlf, Gap([BOS, *near], [*after[:AFTER]]))


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
    begin = min(len(prefix), _cut(len(prefix) + len(near_suffix) - room, context))
    return fim_ids(prefix[begin:], near_suffix), begin + len(suffix) - len(near_suffix)


def _cut(begin: int, context: int) -> int:
    """Where a prefix may begin of which `begin` bytes or more are left out."""
    step = max(1, context // TRUNCATION_STEPS)
    return -(-max(0, begin) // step) * step


def has_crlf(*texts: bytes) -> bool:
    """Whether most lines end with CRLF."""
    return 2 * sum(text.count(b"\r\n") for text in texts) > sum(text.count(b"\n") for text in texts)
