"""Learning how much the runs of self-debug say: its weights, from bugs made of programs with tests.

The loop is run on each bug, and before every run the repairs that are left are written down with their features and with
which of them brings the program back. A conditional logit over these choices (`tasks.fix_order.learn`) gives weights,
with which the loop is run again: what it meets then is what it will meet (DAgger, Ross et al. 2011, arXiv 1011.0686).
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Mapping, Sequence

from multiscale_transformer.agents.self_debug import FIX_SCORE, Debugging, best_of
from multiscale_transformer.agents.subjects import PROGRAM, Seen, TestedProgram
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import LIMITS, Bug
from multiscale_transformer.tasks.fix_order import Gains, Order, learn
from multiscale_transformer.tasks.restoring import CALL, KINDS
from multiscale_transformer.tasks.source_text import parsed

# where learning begins: the order of fix, behind which stands what puts back something
FIRST_ORDER = Order(weights={FIX_SCORE: 1.0, **dict.fromkeys(KINDS, -3.0), CALL: -4.0})
RUNS, ROUNDS = 10, 2
MOST_RIVALS = 40  # of a choice that are learnt from, drawn at random, which leaves the weights unbiased (McFadden 1978)
Group = tuple[list[dict[str, float]], list[bool]]  # features of the repairs that are left, and which of them mend
_BLANKS = str.maketrans("", "", " \t\n\\()")


class Remembered:
    """A program with tests of which no text is run twice."""

    def __init__(self, sandbox: Sandbox, bug: Bug) -> None:
        checked = bug.checked
        self._program = TestedProgram(sandbox, bug.code, checked.tests, setup=checked.setup, limits=LIMITS)
        self.texts, self._seen = self._program.texts, dict[str, Seen]()

    def run(self, changed: Mapping[str, str]) -> Seen:
        """As of the program."""
        text = changed.get(PROGRAM, self.texts[PROGRAM])
        if text not in self._seen:
            self._seen[text] = self._program.run(changed)
        return self._seen[text]


def learn_order(
    sandbox: Sandbox, bugs: Sequence[Bug], gains: Gains | None = None, *, on_bug: Callable[[int], None] = lambda number: None
) -> Order:
    """Weights of all features, learnt in ROUNDS rounds over the bugs; `on_bug` is told how many have been gone through."""
    order, groups = FIRST_ORDER, list[Group]()
    rng = random.Random(0)
    subjects = [Remembered(sandbox, bug) for bug in bugs]
    for turn in range(ROUNDS):
        for number, (bug, subject) in enumerate(zip(bugs, subjects, strict=True), 1):
            groups += [_sampled(group, rng) for group in _choices(subject, bug.checked.code, order, gains)]
            on_bug(turn * len(bugs) + number)
        order = learn(groups)
    return order


def _choices(subject: Remembered, right: str, order: Order, gains: Gains | None) -> list[Group]:
    """Before each run: the features of the repairs that are left, and whether they give the program that was broken."""
    debugging, groups = Debugging(subject, gains, most=RUNS), []
    while not debugging.result.solved and len(debugging.attempts) <= RUNS:
        choices = debugging.choices()
        if not choices:
            break
        mends = [_mean_the_same(debugging.text_after(choice), right) for choice in choices]
        attempt = debugging.try_out(best := best_of(choices, order))
        if attempt is not None and attempt.seen.passed:
            mends = [mended or choice is best for mended, choice in zip(mends, choices, strict=True)]
        if attempt is not None and any(mends):
            groups.append(([choice.features for choice in choices], mends))
    return groups


def _sampled(group: Group, rng: random.Random) -> Group:
    """What mends, and MOST_RIVALS others."""
    features, mends = group
    others = [number for number, mended in enumerate(mends) if not mended]
    kept = sorted(
        {*rng.sample(others, min(MOST_RIVALS, len(others)))} | {number for number, mended in enumerate(mends) if mended}
    )
    return [features[number] for number in kept], [mends[number] for number in kept]


def _mean_the_same(text: str, other: str) -> bool:
    """Whether two texts have the same syntax tree; that costs time only where they are alike but for spaces and brackets."""
    return text.translate(_BLANKS) == other.translate(_BLANKS) and ast.dump(parsed(text)) == ast.dump(parsed(other))
