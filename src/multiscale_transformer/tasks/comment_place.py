"""Before which statements of a function a comment stands: a sum of weighted features of each, learnt as the order of edits is.

Where people comment depends little on what a small net can say and much on form: the first statement, one behind an empty line,
a branch with much in it. `comment_place.json` beside this file was learnt from the training examples of comment, with

    python -m multiscale_transformer.tasks.comment_place data/comment
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from multiscale_transformer.tasks.comment_lines import Block, statement_places
from multiscale_transformer.tasks.docstrings import opened
from multiscale_transformer.tasks.fix_order import Order, learn, load_order, save_order, without_rare
from multiscale_transformer.tasks.source_text import first_line

PLACE_FILE = Path(__file__).with_name("comment_place.json")
AS_LIKELY = 0.6  # share of the likeliest place's probability from which on another one gets a comment, too
MIN_TIMES = 100  # that a feature is seen, or it is not learnt
MAX_WORDS = 12  # of a line
FEW = (1, 2, 3, 4, 6, 9, 14)  # where counts begin to be the same

Features = dict[str, float]


def likely_places(code: str, order: Order | None = None) -> list[int]:
    """The lines (from 0) of a function that are to get a comment, in their order; none where there is no statement."""
    lines, features = features_of(code)
    if not lines:
        return []
    scores = (order or load_place()).scores(features)
    likely = np.exp(scores - scores.max()).tolist()
    return [line for line, value in zip(lines, likely, strict=True) if value >= AS_LIKELY]


def features_of(code: str) -> tuple[list[int], list[Features]]:
    """The lines at which a statement begins, with the features of each. Raises as `opened`."""
    source, node = opened(code)
    shift = source.text.count("\n") - code.count("\n") + 1
    lines, usable = code.split("\n"), list(statement_places(code))
    kinds = {first_line(one) - shift: one for one in ast.walk(node) if isinstance(one, ast.stmt) and one is not node}
    parents = {
        first_line(child) - shift: one
        for one in ast.walk(node)
        for child in ast.iter_child_nodes(one)
        if isinstance(child, ast.stmt)
    }
    count, documented = _few(len(usable)), ast.get_docstring(node, clean=False) is not None
    firsts, behind_empty = _firsts(node, shift), _few(sum(not lines[line - 1].strip() for line in usable))
    found: list[Features] = []
    for number, line in enumerate(usable):
        one, before = kinds[line], kinds[usable[number - 1]] if number else None
        kind, above = type(one).__name__, lines[line - 1].strip() if line else ""
        within = sum(isinstance(part, ast.stmt) for part in ast.walk(one)) - 1
        parent = type(parents[line]).__name__
        features = {
            kind: 1.0,
            f"{kind} behind {type(before).__name__ if before else 'the head'}": 1.0,
            f"{kind} in {parent}": 1.0,
            f"{kind} of {_few(within)}": 1.0,
            f"statement {_few(number + 1)} of {count}": 1.0,
            f"left {_few(len(usable) - number)}": 1.0,
            f"long {_few(len(lines[line].strip()) // 8)}": 1.0,
        }
        if not number:
            features[f"first, docstring {documented}"] = features[f"first of {count}"] = features[f"first {kind}"] = 1.0
        if not above:
            features["behind an empty line"] = features[f"{kind} behind an empty line"] = 1.0
            features[f"behind one of {behind_empty} empty lines"] = 1.0
        if line in firsts and number:
            features[f"first in {parent}"] = features[f"{kind} first in {parent}"] = 1.0
        features |= {f"word {word}": 1.0 for word in _words(lines[line])}
        found.append(features)
    return usable, found


def _firsts(node: ast.AST, shift: int) -> set[int]:
    """Lines at which a block of statements begins."""
    blocks = (getattr(one, name, []) for one in ast.walk(node) for name in ("body", "orelse", "finalbody"))
    return {
        first_line(block[0]) - shift for block in blocks if isinstance(block, list) and block and isinstance(block[0], ast.stmt)
    }


def _few(count: int) -> int:
    return max((one for one in FEW if one <= count), default=0)


def _words(line: str) -> list[str]:
    """Words in a line, parts of names each, and numbers and signs that are rare."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+|[%&|^~]|<<|>>", line)
    return list(dict.fromkeys(word.lower() for word in words))[:MAX_WORDS]


def learn_places(examples: Iterable[tuple[str, Sequence[Block]]]) -> Order:
    """Weights from functions with the comments that stand in them."""
    groups = list(_groups(examples))
    times = Counter(name for features, _ in groups for one in features for name in one)
    return learn(without_rare(groups, times, MIN_TIMES))


def _groups(examples: Iterable[tuple[str, Sequence[Block]]]) -> Iterator[tuple[list[Features], list[bool]]]:
    for code, blocks in examples:
        lines, features = features_of(code)
        here = {block.line for block in blocks}
        for one in sorted(here & set(lines)):  # each by itself, or whichever of several is easier would be enough
            beside = [number for number, line in enumerate(lines) if line == one or line not in here]
            yield [features[number] for number in beside], [lines[number] == one for number in beside]


@cache
def load_place(path: Path = PLACE_FILE) -> Order:
    """The weights in the package, or others. Raises AxlError for a file that holds none."""
    return load_order(path)


if __name__ == "__main__":
    import sys

    from multiscale_transformer.tasks.comment import commented_functions

    save_order(learn_places(commented_functions(Path(sys.argv[1]), "train")), PLACE_FILE)
