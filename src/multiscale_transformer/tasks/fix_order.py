"""The order in which edits are tried against a failing test: a language model, and what the failure says about the bug.

Each candidate gets a score, the sum of weighted features: how much likelier the model finds the edited lines than those there,
with the text on both sides of them (fill in the middle) and with what comes before alone; which kind of edit it is given what
kind of failure it was; whether its line ran in the failing test, and stands in the traceback. The weights are those of a
conditional logit over the candidates of one bug (McFadden 1974), learnt from bugs made of other programs (`tasks.bugs`).
"""

# Shape suffixes: C candidates, F features.

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.engine.infill import fitted_fim_ids
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.tasks.observe import Observed
from multiscale_transformer.tasks.source_text import Edit
from multiscale_transformer.tasks.symptoms import named, symptom

Floats = npt.NDArray[np.float64]

AFTER = 96  # bytes behind the edited lines that are scored with them, where only what comes before is known
TOKENS = {"comparison", "arithmetic", "assignment", "function"}  # kinds of edits of which the tokens themselves are features
MOST_GAIN = 30.0  # nats beyond which a candidate is not judged better or worse


class Order(BaseModel):
    """Weights of the features, by their names; what is not named weighs nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, float]

    def scores(self, features: Sequence[dict[str, float]]) -> Floats:
        """A score (C,) for each candidate."""
        weight = self.weights.get
        return np.array([sum(value * weight(name, 0.0) for name, value in candidate.items()) for candidate in features])


def load_order(path: Path) -> Order:
    """Weights from a JSON file. Raises AxlError for one that holds none."""
    try:
        return Order.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise AxlError(f"{path} holds no weights of an order of edits ({error})") from error


class Gains:
    """How much likelier a model finds an edited text than the text as it is, in nats."""

    def __init__(self, engine: Engine, memory: CorpusMemory | None = None) -> None:
        self._engine, self._memory = engine, memory

    def of(self, text: str, edits: Sequence[Edit]) -> list[dict[str, float]]:
        """For each edit the gain of its lines between what stands around them, and after what stands before them."""
        by_lines: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, edit in enumerate(edits):
            by_lines[edit.whole_lines(text)].append(number)
        found: list[dict[str, float]] = [{} for _ in edits]
        for (begin, end), numbers in by_lines.items():
            old = text[begin:end]
            new = [old, *(edits[number].within(text, begin, end) for number in numbers)]
            between, after = self._between(text, begin, end, new), self._after(text, begin, end, new)
            for number, *gains in zip(numbers, between, after, strict=True):
                found[number] = dict(zip(("between", "after"), gains, strict=True))
        return found

    def _between(self, text: str, begin: int, end: int, new: list[str]) -> list[float]:
        """ln P(edited lines) - ln P(lines), given the text before and after them."""
        prompt, _ = fitted_fim_ids(text[:begin].encode(), text[end:].encode(), self._context(new))
        return self._gains(prompt, [[*lines.encode(), EOS] for lines in new])

    def _after(self, text: str, begin: int, end: int, new: list[str]) -> list[float]:
        """The same given the text before; some bytes behind the lines are read with them."""
        prompt = [BOS, *text[:begin].encode()]
        behind = text[end:].encode()[:AFTER]
        return self._gains(prompt[-self._context(new) :], [[*lines.encode(), *behind] for lines in new])

    def _context(self, new: list[str]) -> int:
        return self._engine.config.max_seq_len - max(len(lines.encode()) for lines in new) - AFTER

    def _gains(self, prompt: list[int], continuations: list[list[int]]) -> list[float]:
        first, *others = log_probabilities(self._engine, prompt, continuations, self._memory)
        return [min(MOST_GAIN, max(-MOST_GAIN, other - first)) for other in others]


def features_of(
    text: str, edits: Sequence[Edit], failure: Observed, gains: Sequence[dict[str, float]]
) -> list[dict[str, float]]:
    """Named features of each edit of a text that fails so; `gains` are those of `Gains.of`, or empty."""
    kind, names, ran = symptom(failure), named(failure), set(failure.lines)
    rivals: dict[int, int] = defaultdict(int)
    for edit in edits:
        rivals[edit.line] += 1
    found = []
    for edit, gain in zip(edits, gains, strict=True):
        old = text[edit.start : edit.end]
        features = {edit.operator: 1.0, f"{edit.operator}, {kind}": 1.0, **gain}
        if edit.operator in TOKENS:
            features[f"{old} -> {edit.text}"] = 1.0
        features["rivals"] = -float(np.log(rivals[edit.line]))
        if ran:
            features["ran" if edit.line in ran else "did not run"] = 1.0
            features["ran last"] = float(edit.line == max(ran))
        if failure.at:
            features["raised here"] = float(edit.line == failure.at[-1])
            features[f"raised here, {kind}"] = features["raised here"]
            features["in the traceback"] = float(edit.line in failure.at)
        if names:
            features["takes what is named"] = float(bool(names & _words(old)) and not names & _words(edit.text))
            features["brings what is named"] = float(bool(names & _words(edit.text)) and not names & _words(old))
        found.append(features)
    return found


def learn(bugs: Sequence[tuple[list[dict[str, float]], Sequence[bool]]], *, l2: float = 1.0, steps: int = 400) -> Order:
    """Weights under which the candidates that mend a bug are likeliest among all of its candidates.

    `bugs` are features and whether each candidate mends; bugs that none mends teach nothing. Adam on all of them at once.
    """
    data = _Groups([(features, mends) for features, mends in bugs if any(mends)])
    weights_F, first_F, second_F = (np.zeros(len(data.names)) for _ in range(3))
    for step in range(1, steps + 1):
        gradient_F: Floats = l2 * weights_F + data.gradient(weights_F)
        first_F = 0.9 * first_F + 0.1 * gradient_F
        second_F = 0.99 * second_F + 0.01 * gradient_F**2
        weights_F = weights_F - 0.05 * (first_F / (1 - 0.9**step)) / (np.sqrt(second_F / (1 - 0.99**step)) + 1e-9)
    return Order(weights={name: round(float(weight), 4) for name, weight in zip(data.names, weights_F, strict=True)})


def without_rare(
    groups: Sequence[tuple[list[dict[str, float]], Sequence[bool]]], times: Mapping[str, int], fewest: int
) -> list[tuple[list[dict[str, float]], Sequence[bool]]]:
    """Groups to learn from without the features that were seen fewer `times` than `fewest`."""
    return [
        ([{name: value for name, value in one.items() if times[name] >= fewest} for one in features], right)
        for features, right in groups
    ]


class _Groups:
    """Candidates of all groups in one row, C of them, with the features that each has: most have few of the F."""

    def __init__(self, groups: Sequence[tuple[Sequence[dict[str, float]], Sequence[bool]]]) -> None:
        candidates = [candidate for features, _ in groups for candidate in features]
        self.names = sorted({name for candidate in candidates for name in candidate})
        column = {name: number for number, name in enumerate(self.names)}
        self._row = np.repeat(np.arange(len(candidates)), [len(candidate) for candidate in candidates])
        self._column = np.array([column[name] for candidate in candidates for name in candidate], np.int64)
        self._value = np.array([value for candidate in candidates for value in candidate.values()], np.float64)
        sizes = [len(features) for features, _ in groups]
        self._group_C, self._begins = np.repeat(np.arange(len(groups)), sizes), np.cumsum([0, *sizes[:-1]])
        self._right_C = np.array([right for _, rights in groups for right in rights], bool)

    def gradient(self, weights_F: Floats) -> Floats:
        """Of the sum of -ln P(a right candidate), by the weights (F,)."""
        if not self._group_C.size:
            return np.zeros_like(weights_F)
        size = self._group_C.size
        score_C = np.asarray(np.bincount(self._row, self._value * weights_F[self._column], size), np.float64)
        p_C: Floats = np.exp(score_C - np.maximum.reduceat(score_C, self._begins)[self._group_C])
        p_C = p_C / np.add.reduceat(p_C, self._begins)[self._group_C]
        right_C = np.where(self._right_C, p_C, 0.0)
        wrong_C = p_C - right_C / np.maximum(np.add.reduceat(right_C, self._begins), 1e-300)[self._group_C]
        return np.asarray(np.bincount(self._column, self._value * wrong_C[self._row], len(weights_F)), np.float64)


def save_order(order: BaseModel, path: Path) -> None:
    """Write weights, an Order or several, one a line, so that a change of them can be read."""
    path.write_text(json.dumps(order.model_dump(), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _words(text: str) -> set[str]:
    return {word for word in "".join(c if c.isalnum() or c == "_" else " " for c in text).split() if not word[0].isdigit()}
