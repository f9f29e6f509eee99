"""Learning the weights of the skill secure from its examples, and their thresholds.

First without a model, from all functions. Then with one: for each function the model judges the few candidates that the first
weights put before the others, and a second set is learnt from those. The thresholds are where F1 on other packages is highest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from multiscale_transformer.tasks.edit_format import applied, read_hunks
from multiscale_transformer.tasks.examples import Example
from multiscale_transformer.tasks.fix_order import Gains, Order, learn
from multiscale_transformer.tasks.secure.check import same_code
from multiscale_transformer.tasks.secure.code import Code
from multiscale_transformer.tasks.secure.order import (
    BEST,
    SecureWeights,
    Weights,
    edits_gains,
    features_of,
    unsafe_probability,
    with_gains,
)
from multiscale_transformer.tasks.secure.rules import repairs, rule_of
from multiscale_transformer.tasks.source_text import Edit

L2 = 1.0
LEAST = 8  # functions in which a feature must occur
SMALL = 0.04  # weights below this are not kept

Features = list[dict[str, float]]


@dataclass(frozen=True)
class Candidates:
    """The repairs of an example's function, their features, and which of them bring the original back."""

    function: str
    unsafe: bool
    edits: list[Edit]
    features: Features
    right: list[bool]

    def chosen(self, numbers: Sequence[int]) -> Candidates:
        """Some of them."""
        edits, features = [self.edits[n] for n in numbers], [self.features[n] for n in numbers]
        return Candidates(self.function, self.unsafe, edits, features, [self.right[n] for n in numbers])


def candidates_of(example: Example) -> Candidates:
    """All repairs that the rules propose for an example."""
    function, hunks = example.prompt, read_hunks(example.answer) or []
    code = Code(function)
    edits = repairs(code)
    original = applied(function, hunks) if hunks else None
    right = [original is not None and rule_of(e) == example.rule and same_code(e.apply(function), original) for e in edits]
    return Candidates(function, bool(hunks), edits, features_of(code, edits), right)


def learn_weights(
    train: Sequence[Example],
    validation: Sequence[Example],
    gains: Gains,
    *,
    most: int,
    read: Container[str] = (),
    l2: float = L2,
) -> SecureWeights:
    """Both sets of weights. The model is asked about at most `most` functions of the training, and as many of the validation.

    `read` are the packages that the model was trained on: it is not asked about those, whose originals it knows by heart.
    """
    learnt, held = [candidates_of(one) for one in train], [candidates_of(one) for one in validation]
    alone = _learn(learnt, held, l2)

    def asked(examples: Sequence[Example], candidates: Sequence[Candidates]) -> list[Candidates]:
        unread = [one for example, one in zip(examples, candidates, strict=True) if example.package not in read]
        return [asked_about(one, alone.order, gains) for one in unread[:most]]

    return SecureWeights(alone=alone, with_model=_learn(asked(train, learnt), asked(validation, held), l2))


def asked_about(candidates: Candidates, order: Order, gains: Gains) -> Candidates:
    """The best of an order's candidates, with a model's opinion among their features."""
    best: list[int] = np.argsort(-order.scores(candidates.features), kind="stable")[:BEST].tolist()
    few = candidates.chosen(best)
    scores = order.scores(few.features).tolist()
    features = with_gains(scores, edits_gains(gains, few.function, few.edits), few.edits) if few.edits else []
    return Candidates(few.function, few.unsafe, few.edits, features, few.right)


def _learn(learnt: Sequence[Candidates], held: Sequence[Candidates], l2: float) -> Weights:
    seen = Counter(name for one in learnt for name in {name for features in one.features for name in features})
    groups = []
    for one in learnt:
        if one.edits and (any(one.right) or not one.unsafe):
            known = [{name: value for name, value in row.items() if seen[name] >= LEAST} for row in one.features]
            groups.append(([*known, {}], [*one.right, not one.unsafe]))
    order = learn(groups, l2=l2)
    kept = Order(weights={name: round(weight, 3) for name, weight in order.weights.items() if abs(weight) >= SMALL})
    return Weights(order=kept, threshold=best_threshold(kept, held))


def best_threshold(order: Order, held: Sequence[Candidates]) -> float:
    """The probability from which on F1 of calling functions unsafe is highest."""
    pairs = sorted(((unsafe_probability(order, one.features), one.unsafe) for one in held), reverse=True)
    every, right, best, threshold = sum(unsafe for _, unsafe in pairs), 0, 0.0, 0.5
    for flagged, ((probability, unsafe), (following, _)) in enumerate(pairwise([*pairs, (0.0, False)]), 1):
        right += unsafe
        f1 = 2 * right / (flagged + every)
        if f1 > best:
            best, threshold = f1, (probability + following) / 2
    return round(threshold, 4)
