"""Edits as templates: what two versions of a few lines have in common becomes a hole, and the rest says what changes.

    -        raise click.exceptions.Exit()      raise ①()              ->  raise ①
    -    self.assertEqual(dict(d), {k: v})      self.assertEqual(①, ②) ->  assert ① == ②

This is anti-unification as Getafix does it (Bader et al. 2019, arXiv 1902.06111), with tokens (`tasks.edit_tokens`) in place of
syntax trees, so that a template may reach into a string or a name. What a hole takes has its brackets closed; holes may change
places. A block of lines that only moves in or out is one hole.

A hole is its number with `E` (an expression), `T` (one text, or what shows a field), `W` (a word), `L` (the lines of a block)
or `A` (a line, whatever it is).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from multiscale_transformer.tasks.edit_format import hunks_between
from multiscale_transformer.tasks.edit_tokens import indent_of, is_quote, tokens_of

MAX_TOKENS = 160  # of both sides; longer edits are not generalised
FARTHEST = 4  # lines between the finding and where the edit begins
AT_END = 99  # the place of an edit of the last line
BLOCK = "0L"
_STATEMENTS = "assert break class continue def del elif else except finally for from global if import lambda pass raise return"
_KEYWORDS = {f"w{word}" for word in (*_STATEMENTS.split(), "try", "while", "with", "yield")}
_FINE = {"p,", "p=", "p:"}  # where fine templates end a hole


class Template(NamedTuple):
    """What has to stand there, and what is put there.

    `lines`: whole lines from the one on that is `place` lines behind the finding (AT_END: the last line); `within`: any place
    within the line of the finding; `name`: a name in that line, which changes in the whole function.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    span: Literal["lines", "within", "name"] = "lines"
    place: int = 0

    @property
    def anchors(self) -> frozenset[str]:
        """Tokens without which it matches nowhere."""
        return frozenset(token for token in self.old if token[0] in "wp") if self.span != "name" else frozenset()


def is_hole(token: str) -> bool:
    """Whether a token of a template stands for others."""
    return token[0].isdigit()


def templates_of(before: str, after: str, line: int) -> list[Template]:
    """Templates of an edit of a function whose finding is at `line` (from 1), from special to general; none for edits at
    several places, or far from the finding."""
    renamed = _renaming(before, after)
    if renamed is not None:
        return [renamed]
    hunks = hunks_between(before, after)
    if len(hunks) != 1 or not hunks[0].old or not hunks[0].old[0].strip():
        return []
    old, new = hunks[0].old, hunks[0].new
    lines = before.split("\n")
    place = next(k for k in range(len(lines)) if tuple(lines[k : k + len(old)]) == old) - (line - 1)
    if new[: len(old)] == old and len(old) == 1:
        return _insertions(lines, old[0], new[1:], place)
    if abs(place) > FARTHEST:
        return []
    base = indent_of(old[0])
    sides = _with_block(old, new, base)
    found: dict[Template, None] = {}
    cores = _cores(*sides) if not place else ()
    for one_old, one_new, span in ((*sides, "lines"), *cores):
        if len(one_old) + len(one_new) <= MAX_TOKENS:
            for fine in (False, True):
                with_holes = _generalised(one_old, one_new, fine)
                for pair in (with_holes, _without_names(*with_holes)):
                    found.setdefault(Template(*pair, span, place))
    return list(found)


def _insertions(lines: Sequence[str], above: str, new: Sequence[str], place: int) -> list[Template]:
    """Lines that come behind one that stays, counted from the finding, or at the end from where the function begins."""
    if not "".join(lines[lines.index(above, place if place > 0 else 0) + 1 :]).strip():
        return [Template(("0A",), ("0A", *_inserted(new, indent_of(lines[0]))), place=AT_END)]
    if abs(place) > FARTHEST:
        return []
    return [Template(("0A",), ("0A", *_inserted(new, indent_of(above))), place=place)]


def _inserted(new: Sequence[str], base: int) -> list[str]:
    return tokens_of(["", *new], base)


def _renaming(before: str, after: str) -> Template | None:
    """A word that became another one everywhere."""
    old, new = re.findall(r"\w+|\W+", before), re.findall(r"\w+|\W+", after)
    changes = {pair for pair in zip(old, new, strict=False) if pair[0] != pair[1]}
    if len(old) != len(new) or len(changes) != 1:
        return None
    ((one, other),) = changes
    if old.count(one) < 2 or old.count(one) != sum(a != b for a, b in zip(old, new, strict=True)):
        return None
    core = max((one.strip("_"), other.strip("_")), key=len)
    if not core or core not in one or core not in other:
        return None
    return Template(_affixes(one, core), _affixes(other, core), "name")


def _affixes(word: str, core: str) -> tuple[str, ...]:
    before, _, behind = word.partition(core)
    return (f"w{before}", "0W", f"w{behind}")


def _with_block(old: Sequence[str], new: Sequence[str], base: int) -> tuple[list[str], list[str]]:
    """The tokens of both sides, with a hole for the longest block of lines that only moves in or out."""
    best = (0, 0, 0)
    for i in range(1, len(old)):
        for j in range(len(new)):
            count = _moved(old[i:], new[j:])
            if count > best[0] and _is_block(old[i - 1], old[i : i + count], old[i + count :]):
                best = (count, i, j)
    count, i, j = best
    if not count:
        return tokens_of(old, base), tokens_of(new, base)
    return _around(old, i, count, base), _around(new, j, count, base)


def _moved(old: Sequence[str], new: Sequence[str]) -> int:
    """How many lines at the beginning of both are the same but for one shift."""
    count, shift = 0, None
    for a, b in zip(old, new, strict=False):
        if a.strip() != b.strip():
            break
        if a.strip():
            if shift is not None and indent_of(b) - indent_of(a) != shift:
                break
            shift = indent_of(b) - indent_of(a)
        count += 1
    return count


def _is_block(head: str, block: Sequence[str], behind: Sequence[str]) -> bool:
    """Whether the lines of a block, and none behind it, are as far in as its first, which is further in than its head."""
    inner = indent_of(block[0])
    deeper = all(not line.strip() or indent_of(line) >= inner for line in block)
    ended = not behind or indent_of(behind[0]) < inner
    return bool(block[0].strip()) and deeper and ended and inner > indent_of(head)


def _around(lines: Sequence[str], at: int, count: int, base: int) -> list[str]:
    """Tokens of lines of which `count` from `at` on are a hole."""
    tail = lines[at + count :]
    behind = [f"n{indent_of(tail[0]) - base}", *tokens_of(tail, indent_of(tail[0]))] if tail else []
    return [*(tokens_of(lines[:at], base) if at else []), f"n{indent_of(lines[at]) - base}", BLOCK, *behind]


def _cores(old: list[str], new: list[str]) -> Iterator[tuple[list[str], list[str], str]]:
    """What is left without the beginning and the end that both sides share, alone and with the call that it stands in."""
    if BLOCK in old:
        return
    begin = next((k for k, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    most = min(len(old), len(new)) - begin
    behind = next((k for k in range(most) if old[-1 - k] != new[-1 - k]), most)
    end = len(old) - behind
    inner = _no_glue(old, new, begin, end)
    for first, last in (inner, _call_around(old, begin, end) or (end, end)):
        if first < last:
            yield old[first:last], new[first : len(new) - (len(old) - last)], "within"


def _no_glue(old: list[str], new: list[str], begin: int, end: int) -> tuple[int, int]:
    """The same part, with the token on each side that a word of the new part would become one with, or would call."""
    until = len(new) - (len(old) - end)
    first = begin - (0 < begin < until and new[begin][0] == "w" and old[begin - 1][0] != "s")
    last = end + (begin < until and end < len(old) and new[until - 1][0] == "w" and old[end][0] != "s")
    return first, last


def _call_around(tokens: list[str], begin: int, end: int) -> tuple[int, int] | None:
    """The brackets around a place with the word before them."""
    depth, at = 0, begin - 1
    while at >= 0 and not (depth == 0 and tokens[at][0] == "o"):
        depth += (tokens[at][0] == "c") - (tokens[at][0] == "o")
        at -= 1
    depth, close = 0, end
    while close < len(tokens) and not (depth == 0 and tokens[close][0] == "c"):
        depth += (tokens[close][0] == "o") - (tokens[close][0] == "c")
        close += 1
    if at < 0 or close == len(tokens):
        return None
    return at - (at > 0 and tokens[at - 1][0] == "w"), close + 1


def _generalised(old: Sequence[str], new: Sequence[str], fine: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both sides with holes for what they have in common, the longest first (greedy string tiling, Wise 1993)."""
    sides = list(old), list(new)
    number = 1
    while (best := _longest_common(*sides, fine))[0]:
        count, i, j = best
        run = tuple(sides[0][i : i + count])
        hole = f"{number}{'T' if count == 1 and run[0][0] in 'tv' and sides[1][j] == run[0] else 'E'}"
        sides[0][i : i + count] = sides[1][j : j + count] = [hole]
        for side in sides:
            _fill_repeats(side, run, hole)
        number += 1
    return _numbered(*sides)


def _numbered(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Holes numbered as they come, so that equal templates are equal."""
    holes = dict.fromkeys(token for token in old if is_hole(token) and token != BLOCK)
    names = {hole: f"{number}{hole[-1]}" for number, hole in enumerate(holes)}
    return tuple(names.get(token, token) for token in old), tuple(names.get(token, token) for token in new)


def _without_names(old: Sequence[str], new: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The template with a hole for each word that only stands on the old side."""
    kept, names = set(new), dict[str, str]()
    for token in old:
        if token[0] == "w" and token[1].isalpha() and token not in kept | _KEYWORDS:
            names.setdefault(token, f"{100 + len(names)}W")
    return _numbered([names.get(token, token) for token in old], new)


def _fill_repeats(side: list[str], run: tuple[str, ...], hole: str) -> None:
    if run[0][0] in "tv":
        return
    at = 0
    while at + len(run) <= len(side):
        if tuple(side[at : at + len(run)]) == run:
            side[at : at + len(run)] = [hole]
        at += 1


def _alike(token: str) -> str:
    """What two tokens share that one hole may take: a word may be a whole text of a string on the other side."""
    return f"w{token[1:]}" if token[0] == "t" and token[1:].isidentifier() else token


def _longest_common(old: list[str], new: list[str], fine: bool) -> tuple[int, int, int]:
    places: dict[str, list[int]] = {}
    for j, token in enumerate(new):
        places.setdefault(_alike(token), []).append(j)
    best = (0, 0, 0, 0)
    for i, token in enumerate(old):
        if token[0] in "wtvop" and token not in _KEYWORDS and not (fine and token in _FINE):
            for j in places.get(_alike(token), ()):
                weight, count = _common_run(old[i:], new[j:], fine)
                if weight > best[0]:
                    best = (weight, count, i, j)
    return best[1:]


def _common_run(old: Sequence[str], new: Sequence[str], fine: bool) -> tuple[int, int]:
    """Weight and length of the longest run at the beginning of both that a hole may take."""
    depth = weight = quotes = 0
    holds = False
    best = (0, 0)
    for count, (token, other) in enumerate(zip(old, new, strict=False), 1):
        kind = token[0]
        if _alike(token) != _alike(other) or kind == "f" or is_hole(token):
            break
        if depth == 0 and (kind == "n" or token in _KEYWORDS or (fine and token in _FINE)):
            break
        depth += (kind == "o") - (kind == "c")
        if depth < 0:
            break
        quotes ^= is_quote(token)
        holds |= kind in "wtv"
        weight += 2 * (kind in "wtv") + (kind != "s")
        if depth == 0 and not quotes and kind != "s" and holds:
            best = (weight, count)
    return best
