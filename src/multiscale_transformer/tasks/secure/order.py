"""Which of the repairs that the rules propose for a function is needed, if any: a conditional logit over them and "none".

A candidate's features are its rule and form, the words of the names around it, how many others there are, and how much likelier
a language model finds the repaired lines. Among the candidates of a function stands one without features, "nothing is wrong",
so 1 - P(nothing) is the probability that the function is unsafe. The weights are learnt by `fix_order.learn` from functions of
packages with an injected fault and from untouched ones (`tasks.secure.secure`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.fix_order import Gains, Order
from multiscale_transformer.tasks.secure.code import Code
from multiscale_transformer.tasks.secure.rules import repairs, rule_of
from multiscale_transformer.tasks.source_text import Edit

WEIGHTS_FILE = Path(__file__).with_name("weights.json")
BEST = 6  # candidates, by the other features, that the model is asked about
GAIN_SCALE = 10.0  # nats that are a feature of 1
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_TELLING = frozenset(  # words that say something wherever they stand in a function
    _WORD.findall(
        "auth token digest hmac password secret signature sign key hash checksum etag cache session cookie csrf nonce salt hex "
        "path file upload dir tmp html xml url http https query regex pattern command shell cmd user request response client "
        "certificate verify ssl tls yaml json pickle load eval test mock legacy compat deprecated random seed shuffle sample"
    )
)


class Weights(BaseModel):
    """Weights of the features, and the probability from which on a function is called unsafe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Order
    threshold: float


class SecureWeights(BaseModel):
    """Weights for what is known without a model, and for what a model says of the best of those."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alone: Weights
    with_model: Weights


def load_weights(path: Path = WEIGHTS_FILE) -> SecureWeights:
    """Weights from a JSON file. Raises AxlError for one that holds none."""
    try:
        return SecureWeights.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise AxlError(f"{path} holds no weights of the skill secure ({error})") from error


@dataclass(frozen=True)
class Judged:
    """Repairs of a function, the likeliest first, and the probability that any of them is needed."""

    edits: tuple[Edit, ...]
    probability: float
    unsafe: bool


def judge(function: str, weights: SecureWeights, gains: Gains | None = None) -> Judged:
    """What the weights say of a function's text; with `gains` a model is asked, too.

    Raises SyntaxError, ValueError or RecursionError for what Python does not parse.
    """
    code = Code(function)
    edits = repairs(code)
    features = features_of(code, edits)
    chosen = weights.alone
    order: list[int] = np.argsort(-chosen.order.scores(features), kind="stable").tolist()
    if gains is not None and edits:
        scores, edits = chosen.order.scores(features)[order[:BEST]].tolist(), [edits[number] for number in order[:BEST]]
        features = with_gains(scores, edits_gains(gains, function, edits), edits)
        chosen = weights.with_model
        order = np.argsort(-chosen.order.scores(features), kind="stable").tolist()
    probability = unsafe_probability(chosen.order, features)
    return Judged(tuple(edits[number] for number in order), probability, probability >= chosen.threshold)


def unsafe_probability(order: Order, features: Sequence[dict[str, float]]) -> float:
    """1 - P(nothing is wrong), among the candidates with these features."""
    scores = np.array([0.0, *order.scores(features)])
    odds = np.exp(scores - scores.max())
    return float(1 - odds[0] / odds.sum())


def edits_gains(gains: Gains, function: str, edits: Sequence[Edit]) -> list[dict[str, float]]:
    """The gains of edits, scaled to be features."""
    return [{name: value / GAIN_SCALE for name, value in gain.items()} for gain in gains.of(function, edits)]


def with_gains(scores: Sequence[float], gains: Sequence[dict[str, float]], edits: Sequence[Edit]) -> list[dict[str, float]]:
    """Features with a model's opinion: the score without it, the rule, and the gains, as such and by rule."""
    return [
        {
            "score": float(score),
            rule_of(edit): 1.0,
            **gain,
            **{f"{rule_of(edit)}, {name}": value for name, value in gain.items()},
        }
        for score, gain, edit in zip(scores, gains, edits, strict=True)
    ]


def features_of(code: Code, edits: Sequence[Edit]) -> list[dict[str, float]]:
    """Named features of each candidate that a rule proposes for a function."""
    of_rule, at_place = Counter(rule_of(edit) for edit in edits), Counter(_place(edit) for edit in edits)
    telling = words(code.text) & _TELLING
    head = words(code.line(getattr(code.tree.body[0], "lineno", 1)).partition("(")[0]) if code.tree.body else set()
    found = []
    for edit in edits:
        rule, (unsafe, safe) = rule_of(edit), edit.operator.partition(": ")[2].split(" <- ")
        begin, end = edit.whole_lines(code.text)
        features = {rule: 1.0, f"{rule}: {unsafe}": 1.0, edit.operator: 1.0}
        features["rivals"] = -float(np.log(of_rule[rule]))
        features["rivals of the place"] = -float(np.log(at_place[_place(edit)]))
        features["repeated safely"] = float(safe in code.text[:begin] or safe in code.text[end:])
        features[f"{rule}, repeated safely"] = features["repeated safely"]
        features |= {f"{rule}, line {word}": 1.0 for word in words(code.text[begin:end])}
        features |= {f"{rule}, value {word}": 1.0 for word in words(code.text[edit.start : edit.end])}
        features |= {f"{rule}, of {word}": 1.0 for word in head}
        features |= {f"{rule}, near {word}": 1.0 for word in telling}
        found.append(features)
    return found


def _place(edit: Edit) -> tuple[str, int, int]:
    return rule_of(edit), edit.start, edit.end


def words(text: str) -> set[str]:
    """The words of which the names and texts of a source are made, in lower case."""
    return {word.lower() for word in _WORD.findall(text) if 2 <= len(word) <= 16}
