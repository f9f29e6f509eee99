"""Self-debug: run a program, read what failed, try the likeliest repair, and let what that run shows reorder the rest.

The candidates are those of the skill fix in its order (`tasks.fix`), and edits that put back what was dropped
(`tasks.restoring`). The skill keeps its order to the end; here every failed run counts (`agents.evidence`), and a repair
that makes one more test pass is kept as a text to repair further. At most so many runs are made, and the best attempt is
what remains: the one with the fewest failing tests, of those the one that got furthest.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from multiscale_transformer.agents.evidence import described, effect, learnt
from multiscale_transformer.agents.subjects import Seen, Subject
from multiscale_transformer.tasks.fix import FIRST_LOOK, ORDER_FILE, Candidate, Focus, ordered
from multiscale_transformer.tasks.fix_order import Gains, Order, load_order
from multiscale_transformer.tasks.observe import Observed
from multiscale_transformer.tasks.restoring import all_edits
from multiscale_transformer.tasks.source_text import Edit, parsed, parses, unified_diff

DEBUG_ORDER_FILE = Path(__file__).with_name("debug_order.json")  # learnt from bugs in MBPP's training tasks
FIX_SCORE, SECOND = "the order of fix", "second edit"
UNKNOWN = Observed(test="")


@dataclass(frozen=True)
class Attempt:
    """A text that was run: what was edited last and in which earlier attempt's text, the changed files, and what was seen."""

    number: int
    seen: Seen
    changed: Mapping[str, str]
    repair: Candidate | None = None
    base: int = 0
    effect: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        """Lower is better: failing tests, then how far the first of them got (a wrong value is further than any line)."""
        if self.seen.passed:
            return 0, 0
        first = self.seen.tests[self.seen.failing[0]] if self.seen.failing else UNKNOWN
        return max(1, len(self.seen.failing)), -(first.at[-1] if first.at and first.actual is None else 1 << 30)


@dataclass(frozen=True)
class Choice:
    """A repair that may be run next: of the text of an earlier attempt, with what is known about it."""

    base: int
    candidate: Candidate
    features: dict[str, float]
    before: dict[str, float]  # of them, those that were known before any repair was run

    @property
    def blind(self) -> Choice:
        """The same as if no repair had been run."""
        return replace(self, features=self.before)


@dataclass(frozen=True)
class Debugged:
    """What came of it: all attempts in their order, the first being the program as it was."""

    attempts: tuple[Attempt, ...]
    texts: Mapping[str, str]

    @cached_property
    def best(self) -> Attempt:
        """The best attempt; of equals the earliest."""
        return min(self.attempts, key=lambda attempt: attempt.rank)

    @property
    def solved(self) -> bool:
        """Whether all tests pass in the best attempt."""
        return self.best.seen.passed

    @property
    def runs(self) -> int:
        """Runs after the first."""
        return len(self.attempts) - 1

    @property
    def diff(self) -> str:
        """What the best attempt changes, as `diff -u` writes it."""
        return "".join(unified_diff(self.texts[name], text, name) for name, text in sorted(self.best.changed.items()))


class Debugging:
    """The state of self-debug between two runs; `self_debug` is the loop around it."""

    def __init__(self, subject: Subject, gains: Gains | None = None, *, most: int = 10, focus: Focus | None = None) -> None:
        """Make the first run."""
        self._subject, self._gains, self._most, self._focus = subject, gains, most, focus
        self._fix_order = load_order(ORDER_FILE)
        self.attempts = [Attempt(0, subject.run({}), {})]
        self._left: list[tuple[int, Candidate, dict[str, float]]] = []
        self._known: set[str] = set()
        self._to_repair = [] if self.attempts[0].seen.passed else [self.attempts[0]]

    @property
    def result(self) -> Debugged:
        """What has come of it so far."""
        return Debugged(tuple(self.attempts), self._subject.texts)

    def choices(self) -> list[Choice]:
        """The repairs that are left, with what the runs so far say of each."""
        while self._to_repair:
            self._add_candidates(self._to_repair.pop())
        runs = self._runs()
        return [
            Choice(base, candidate, {**features, **learnt(candidate.edit, runs.get((base, candidate.file), ()))}, features)
            for base, candidate, features in self._left
        ]

    def text_after(self, choice: Choice) -> str:
        """The file of a repair after it."""
        return choice.candidate.edit.apply(self._text(choice.base, choice.candidate.file))

    def try_out(self, choice: Choice) -> Attempt | None:
        """Run a repair; None where an equal text was run before, which costs nothing."""
        self._left = [one for one in self._left if (one[0], one[1]) != (choice.base, choice.candidate)]
        after = self.text_after(choice)
        meaning = _meaning(choice.candidate.file, after)
        if meaning in self._known:
            return None
        self._known.add(meaning)
        base = self.attempts[choice.base]
        changed = {**base.changed, choice.candidate.file: after}
        seen = self._subject.run(changed)
        did = effect(base.seen, seen)
        attempt = Attempt(len(self.attempts), seen, changed, choice.candidate, choice.base, did)
        self.attempts.append(attempt)
        if did == "more pass" and not seen.passed and choice.base == 0:
            self._to_repair.append(attempt)
        return attempt

    def _runs(self) -> dict[tuple[int, str], list[tuple[Edit, str]]]:
        """The edits that were run and their effects, by the attempt and the file that they edit."""
        runs: dict[tuple[int, str], list[tuple[Edit, str]]] = {}
        for attempt in self.attempts[1:]:
            if attempt.repair is not None:
                runs.setdefault((attempt.base, attempt.repair.file), []).append((attempt.repair.edit, attempt.effect))
        return runs

    def _text(self, base: int, file: str) -> str:
        return self.attempts[base].changed.get(file, self._subject.texts[file])

    def _add_candidates(self, attempt: Attempt) -> None:
        """The repairs of the text of an attempt, by the skill fix, with what its run says of them."""
        names = [name for name in self._subject.texts if self._focus is None or name == self._focus.file]
        texts = {name: self._text(attempt.number, name) for name in names if name in attempt.seen.failures}
        texts = {name: text for name, text in texts.items() if parses(text)}
        self._known |= {_meaning(name, text) for name, text in texts.items()}
        limit = FIRST_LOOK * self._most
        found = ordered(texts, dict(attempt.seen.failures), self._fix_order, self._gains, limit, self._focus, all_edits)
        for name, text in texts.items():
            of_file = [candidate for candidate in found if candidate.file == name]
            extra = described([candidate.edit for candidate in of_file], name, text, attempt.seen)
            second = {SECOND: 1.0} if attempt.number else {}
            self._left += [
                (attempt.number, candidate, {FIX_SCORE: candidate.score, **second, **features})
                for candidate, features in zip(of_file, extra, strict=True)
            ]


def self_debug(
    subject: Subject,
    order: Order | None = None,
    gains: Gains | None = None,
    *,
    most: int = 10,
    focus: Focus | None = None,
    on_run: Callable[[Attempt], None] = lambda attempt: None,
) -> Debugged:
    """Run, repair and run again, at most `most` times after the first run; `on_run` is told of each run.

    `order` weighs what is known of a repair (default: as learnt from MBPP's training tasks).
    """
    order = order or load_order(DEBUG_ORDER_FILE)
    debugging = Debugging(subject, gains, most=most, focus=focus)
    on_run(debugging.attempts[0])
    return _continued(debugging, order, most, on_run)


def _continued(debugging: Debugging, order: Order, most: int, on_run: Callable[[Attempt], None]) -> Debugged:
    while not debugging.result.solved and len(debugging.attempts) <= most:
        tried = map(debugging.try_out, ranked(debugging.choices(), order))
        attempt = next((attempt for attempt in tried if attempt is not None), None)
        if attempt is None:
            break
        on_run(attempt)
    return debugging.result


def best_of(choices: Sequence[Choice], order: Order) -> Choice:
    """The choice with the highest score; of equals the first in the order of fix."""
    return ranked(choices, order)[0]


def ranked(choices: Sequence[Choice], order: Order) -> list[Choice]:
    """The choices by their scores, the highest first; equals stay in the order of fix."""
    if not choices:
        return []
    scores = order.scores([choice.features for choice in choices])
    return [choices[place] for place in (-scores).argsort(kind="stable")]


def _meaning(name: str, text: str) -> str:
    """The syntax tree of a file, without its layout."""
    return f"{name}\n{ast.dump(parsed(text))}"


def debug_drafts(
    drafts: Iterable[str], tested: Callable[[str], Subject], gains: Gains | None = None, *, most: int = 10
) -> Debugged | None:
    """Run what a model wrote, and repair the best of it; None without a draft.

    A draft costs one of the `most` runs, so no more than those are run; the first that passes ends it.
    """
    best: Debugging | None = None
    left = most
    for draft in drafts:
        looked = Debugging(tested(draft), gains, most=most)
        left -= 1
        if best is None or looked.attempts[0].rank < best.attempts[0].rank:
            best = looked
        if left <= 0 or looked.result.solved:
            break
    return None if best is None else _continued(best, load_order(DEBUG_ORDER_FILE), left, lambda attempt: None)
