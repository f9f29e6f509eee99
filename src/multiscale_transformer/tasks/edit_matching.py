"""Applying templates of edits (`tasks.edit_templates`) to a function, in each way in which they match there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from multiscale_transformer.tasks.edit_templates import AT_END, BLOCK, Template, is_hole
from multiscale_transformer.tasks.edit_tokens import block_end, indent_of, is_quote, lines_from, shifted, tokens_of

MAX_MATCHES = 12  # of a template at one place
MAX_LINE = 200  # tokens of a line in which an edit may begin
MAX_EXPRESSION = 100  # tokens that a hole takes
STEPS = 2000  # of the search for matches of a template

Holes = dict[str, Sequence[str]]
Spans = dict[str, tuple[int, int]]  # where among the tokens stands what holes take


def edited(template: Template, function: str, line: int) -> Iterator[str]:
    """A function with the edit for a finding at its line `line` (from 1)."""
    lines = function.split("\n")
    if template.span == "name":
        yield from _renamed(template, function, lines[line - 1])
    elif template.span == "within":
        yield from _within(template, lines, line - 1)
    else:
        last = next((k for k in range(len(lines) - 1, -1, -1) if lines[k].strip()), 0)
        first = last if template.place == AT_END else line - 1 + template.place
        if 0 <= first <= last and lines[first].strip():
            yield from _whole(template, lines, first, indent_of(lines[0] if template.place == AT_END else lines[first]))


def _renamed(template: Template, function: str, line: str) -> Iterator[str]:
    before, behind, new_before, new_behind = (side[end][1:] for side in (template.old, template.new) for end in (0, 2))
    for word in dict.fromkeys(re.findall(r"[A-Za-z_]\w*", line)):
        core = word.removeprefix(before).removesuffix(behind)
        if core and core.strip("_") == core and word == f"{before}{core}{behind}":
            yield re.sub(rf"\b{re.escape(word)}\b", f"{new_before}{core}{new_behind}", function)


def _within(template: Template, lines: list[str], at: int) -> Iterator[str]:
    base = indent_of(lines[at])
    tokens = _tokens(tuple(lines[at:]), base)
    first_line = next((k for k, token in enumerate(tokens[:MAX_LINE]) if token[0] == "n"), min(MAX_LINE, len(tokens)))
    budget = [STEPS]
    for begin in range(first_line):
        for end, holes in _matches(template.old, tokens, begin, budget):
            new = [*tokens[:begin], *_filled(template.new, holes), *tokens[end:]]
            yield "\n".join([*lines[:at], *lines_from(new, base)])


def _whole(template: Template, lines: list[str], first: int, base: int) -> Iterator[str]:
    own = indent_of(lines[first])
    tokens = _tokens((" " * base + lines[first].strip(), *lines[first + 1 :]), base)
    for end, holes in _matches(template.old, tokens, 0, [STEPS]):
        if end == len(tokens) or tokens[end][0] == "n":
            used = 1 + sum(token[0] == "n" for token in tokens[:end])
            new = lines_from([*_filled(template.new, holes)], base)
            if new and own != base:
                new[0] = " " * own + new[0].lstrip()
            yield "\n".join([*lines[:first], *new, *lines[first + used :]])


@lru_cache(maxsize=16)  # all templates for a finding look at the same lines
def _tokens(lines: tuple[str, ...], base: int) -> tuple[str, ...]:
    return tuple(tokens_of(lines, base))


def _matches(pattern: Sequence[str], tokens: Sequence[str], begin: int, budget: list[int]) -> Iterator[tuple[int, Holes]]:
    """Where the pattern ends that begins at a token, with what its holes take; at most MAX_MATCHES, in a budget of steps."""
    found = 0
    stack: list[tuple[int, int, Spans]] = [(0, begin, {})]
    while stack and budget[0] > 0 and found < MAX_MATCHES:
        budget[0] -= 1
        at, place, holes = stack.pop()
        if at == len(pattern):
            found += 1
            yield place, {hole: tokens[first:last] for hole, (first, last) in holes.items()}
        elif is_hole(pattern[at]):
            ends = [*_ends(pattern[at], holes.get(pattern[at]), tokens, place)]
            stack.extend((at + 1, end, {**holes, pattern[at]: (place, end)}) for end in reversed(ends))
        elif pattern[at][0] == "n" and pattern[at + 1 : at + 2] == (BLOCK,):
            end = block_end(tokens, place)
            if end > place:
                stack.append((at + 2, end, {**holes, BLOCK: (place, end)}))
        elif place < len(tokens) and tokens[place] == pattern[at]:
            stack.append((at + 1, place + 1, holes))


def _ends(hole: str, bound: tuple[int, int] | None, tokens: Sequence[str], place: int) -> Iterator[int]:
    """Where what a hole takes may end: what it has taken already, one token of its kind, or what has its brackets closed."""
    if bound is not None:
        taken = tokens[slice(*bound)]
        if tokens[place : place + len(taken)] == taken:
            yield place + len(taken)
    elif place >= len(tokens) or tokens[place][0] in "sn":
        return
    elif hole[-1] == "A":
        yield next((k for k in range(place, len(tokens)) if tokens[k][0] == "n"), len(tokens))
    elif hole[-1] in "TW":
        if tokens[place][0] in ("w" if hole[-1] == "W" else "tv"):
            yield place + 1
    else:
        yield from _closed(tokens, place)


def _closed(tokens: Sequence[str], place: int) -> Iterator[int]:
    """Ends of what begins here and has its brackets and strings closed; it stays on its line unless a bracket is open."""
    depth = quotes = 0
    for end in range(place, min(len(tokens), place + MAX_EXPRESSION)):
        token = tokens[end]
        depth += (token[0] == "o") - (token[0] == "c")
        quotes ^= is_quote(token)
        if depth < 0 or (token[0] == "n" and depth == 0):
            return
        if depth == 0 and not quotes and token[0] != "s":
            yield end + 1


def _filled(pattern: Sequence[str], holes: Holes) -> Iterator[str]:
    for at, token in enumerate(pattern):
        if token == BLOCK:
            yield from shifted(holes[token], int(pattern[at - 1][1:]))
        elif is_hole(token):
            yield from holes[token]
        elif pattern[at + 1 : at + 2] != (BLOCK,):
            yield token
