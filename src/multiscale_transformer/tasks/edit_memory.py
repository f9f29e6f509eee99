"""A memory of edits: templates by rule, learnt from pairs, each with how often it was right about pairs that it is not from.

`edit_memory.json` beside this file was learnt from the training examples of refactor, with

    python -m multiscale_transformer.tasks.edit_memory data/refactor

and whoever has other pairs, of another linter or of people, can learn one from those.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from multiscale_transformer.files import write_text
from multiscale_transformer.tasks.edit_matching import edited
from multiscale_transformer.tasks.edit_templates import Template, templates_of
from multiscale_transformer.tasks.edit_tokens import tokens_of

PLACE = Path(__file__).with_name("edit_memory.json")
MOST_TRIED = 1000  # templates of a rule that are compared with its pairs, those of most pairs first
MOST_ALIKE = 2  # templates that are kept for the same pair


class EditPair(NamedTuple):
    """A function before and after an edit for a finding of a rule at a line (from 1)."""

    rule: str
    before: str
    after: str
    line: int


class Known(NamedTuple):
    """A template, how many edits it made of pairs that it was not learnt from, and how many of those were the right one."""

    template: Template
    tried: int
    right: int

    @property
    def precision(self) -> float:
        """Share of its edits that are right, a little less for one that has not made many."""
        return self.right / (self.tried + 1)


class EditMemory:
    """Templates by rule, the most precise first."""

    def __init__(self, rules: dict[str, list[Known]]) -> None:
        self.rules = rules

    def edits(self, rule: str, function: str, line: int, most: int) -> list[str]:
        """A function after edits for a finding, at most `most` different ones, the likeliest right first."""
        found: dict[str, None] = {}
        anchors = _anchors(function)
        for known in self.rules.get(rule, ()):
            if known.template.anchors <= anchors:
                for after in edited(known.template, function, line):
                    if after != function:
                        found.setdefault(after)
                    if len(found) == most:
                        return list(found)
        return list(found)


def learn(pairs: Iterable[EditPair]) -> EditMemory:
    """A memory of these pairs. Templates that were never right about a pair that they are not from are left out."""
    by_rule: dict[str, list[EditPair]] = defaultdict(list)
    for pair in pairs:
        by_rule[pair.rule].append(pair)
    rules = {rule: _learn_rule(of) for rule, of in sorted(by_rule.items())}
    return EditMemory({rule: known for rule, known in rules.items() if known})


def _learn_rule(pairs: Sequence[EditPair]) -> list[Known]:
    origins: dict[Template, set[int]] = defaultdict(set)
    for number, pair in enumerate(pairs):
        for template in templates_of(pair.before, pair.after, pair.line):
            origins[template].add(number)
    anchors = [_anchors(pair.before) for pair in pairs]
    found: list[tuple[Known, set[int]]] = []
    for template in sorted(origins, key=lambda one: (-len(origins[one]), one))[:MOST_TRIED]:
        tried, right = 0, set[int]()
        for number, pair in enumerate(pairs):
            own = number in origins[template]
            if own and len(origins[template]) > 1:  # others say the same, so it would have been learnt without this one
                tried += 1
                right.add(number)
            elif not own and template.anchors <= anchors[number]:
                made = [after for after in edited(template, pair.before, pair.line) if after != pair.before]
                tried += len(made)
                right |= {number} if pair.after in made else set()
        if right:
            found.append((Known(template, tried, len(right)), right))
    return _needed(sorted(found, key=lambda one: (-one[0].precision, -one[0].right, one[0].template)))


def _needed(found: Sequence[tuple[Known, set[int]]]) -> list[Known]:
    """Of templates in their order those that are right about a pair which fewer than MOST_ALIKE before them are right about."""
    covered: Counter[int] = Counter()
    kept = []
    for known, right in found:
        if any(covered[number] < MOST_ALIKE for number in right):
            covered.update(right)
            kept.append(known)
    return kept


def _anchors(function: str) -> frozenset[str]:
    """What a template may ask for: the words and signs of the function, as edits may begin before or behind the finding."""
    return frozenset(tokens_of(function.split("\n"), 0))


def save_memory(memory: EditMemory, path: Path) -> None:
    """Write a memory as JSON, a template a line, so that a change of it can be read."""
    rules = [
        f"{json.dumps(rule)}: [\n"
        + ",\n".join(json.dumps([*one.template, one.tried, one.right], ensure_ascii=False) for one in known)
        + "\n]"
        for rule, known in memory.rules.items()
    ]
    write_text(path, "{\n" + ",\n".join(rules) + "\n}\n")


@cache
def load_memory(path: Path = PLACE) -> EditMemory:
    """A memory that was saved; the one in the package unless another is named."""
    rules = json.loads(path.read_text(encoding="utf-8"))
    return EditMemory({rule: [_known(*row) for row in rows] for rule, rows in rules.items()})


def _known(old: list[str], new: list[str], span: str, place: int, tried: int, right: int) -> Known:
    return Known(Template(tuple(old), tuple(new), span, place), tried, right)  # type: ignore[arg-type]


if __name__ == "__main__":
    import sys

    from multiscale_transformer.tasks.refactor import edit_pairs

    save_memory(learn(edit_pairs(Path(sys.argv[1]), "train")), PLACE)
