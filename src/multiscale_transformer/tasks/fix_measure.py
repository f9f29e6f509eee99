"""How good the order of the skill fix is: bugs solved within so many runs of the test, beside other orders of the same edits.

All candidates of each bug are run once, so all orders are measured on the same outcomes: random, a byte n-gram, the model alone
(bits per byte), the failure alone, and all of it together.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.bugs import Bug, fixes
from multiscale_transformer.tasks.fix_order import Gains, Order, features_of
from multiscale_transformer.tasks.ngrams import Ngrams
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.source_text import Edit, SourceText

WITHIN = (1, 5, 10, 40)


class Tried(BaseModel):
    """A bug, its candidates, and which of them pass all tests."""

    model_config = ConfigDict(frozen=True)

    bug: Bug
    edits: tuple[Edit, ...]
    mends: tuple[bool, ...]


class Solved(BaseModel):
    """One order: the share of bugs that are solved within so many runs of the test, and the mean number of candidates."""

    order: str
    within: dict[int, float]
    bugs: int
    candidates: float


def tried(sandbox: Sandbox, bugs: Iterable[Bug]) -> list[Tried]:
    """Every candidate of every bug, run."""
    found = []
    for bug in bugs:
        edits = edits_of(SourceText(bug.code))
        found.append(
            Tried(bug=bug, edits=tuple(edits), mends=tuple(fixes(sandbox, bug, edit.apply(bug.code)) for edit in edits))
        )
    return found


def orders(everything: Sequence[Tried], order: Order, gains: Gains, ngrams: Ngrams, *, seed: int = 0) -> list[Solved]:
    """Each order over all bugs."""
    rng = random.Random(seed)
    known = [gains.of(one.bug.code, one.edits) for one in everything]
    blind = Order(weights={name: weight for name, weight in order.weights.items() if name not in ("between", "after")})

    def scored(by: Order) -> list[Sequence[float]]:
        return [
            by.scores(features_of(one.bug.code, one.edits, one.bug.failure, gain)).tolist()
            for one, gain in zip(everything, known, strict=True)
        ]

    by_name: dict[str, Callable[[], list[Sequence[float]]]] = {
        "random": lambda: [[rng.random() for _ in one.edits] for one in everything],
        "byte n-grams": lambda: [ngrams.gains(one.bug.code, one.edits) for one in everything],
        "the model's bits": lambda: [[gain["between"] + gain["after"] for gain in gains_of] for gains_of in known],
        "the failure alone": lambda: scored(blind),
        "all of it": lambda: scored(order),
    }
    return [_solved(name, everything, scores()) for name, scores in by_name.items()]


def _solved(name: str, everything: Sequence[Tried], scores: Sequence[Sequence[float]]) -> Solved:
    ranks = []
    for one, of_one in zip(everything, scores, strict=True):
        best_first = sorted(range(len(one.edits)), key=lambda k: (-of_one[k], one.edits[k]))
        ranks.append(next((rank for rank, k in enumerate(best_first, 1) if one.mends[k]), None))
    count = max(1, len(everything))
    within = {most: sum(rank is not None and rank <= most for rank in ranks) / count for most in WITHIN}
    candidates = sum(len(one.edits) for one in everything) / count
    return Solved(order=name, within=within, bugs=len(everything), candidates=candidates)
