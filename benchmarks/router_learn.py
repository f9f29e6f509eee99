"""How the weights of the tool router are learnt: from half of the leaderboard's questions and from requests to the lab's tools.

`python -m benchmarks.router --bfcl FOLDER --learn` writes them into the package. The other half of the questions, and the
phrases and packages of the test, are read by nothing here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bfcl import CHOICES, IRRELEVANT, SINGLES, Answers, Question, accepts, questions
from benchmarks.router_requests import Asked as LabRequest
from benchmarks.router_requests import requests
from multiscale_transformer.agents import arguments, router
from multiscale_transformer.agents.arguments import ArgumentWeights
from multiscale_transformer.agents.candidates import Asked, Wanted, candidates, features
from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.lexical import Features
from multiscale_transformer.agents.router import RouterWeights, decided_by, features_of
from multiscale_transformer.agents.tool_schema import Schema, Tool, parameters_of, type_of
from multiscale_transformer.tasks.fix_order import Order, learn, save_order

EACH = 5  # requests of a phrase
MIN_TIMES = 7  # a feature is learnt where it came up so often: for a word, in two phrases
MIN_WEIGHT = 0.1  # of a word with a tool; weaker ones are dropped, which cross-validation over phrases finds no worse
WRONG = 40  # candidates of an argument beside the right ones
L2_CHOICE, L2_DECISION, L2_ARGUMENTS = 1.0, 3.0, 1.0
THRESHOLDS = [round(step / 10, 1) for step in range(-20, 21)]

Group = tuple[list[Features], list[bool]]
LEARNT = (
    "Conditional logits learnt by python -m benchmarks.router --learn: from {bfcl} questions of the validation half of BFCL v4 "
    "(bfcl-eval, Apache-2.0) and {own} requests to the lab's tools whose phrases and packages no test has."
)


def learnt_router(folder: Path) -> RouterWeights:
    """Weights of choice and decision, and the threshold that decides best on the questions that they were learnt from."""
    asked = [question for category in CHOICES for question in _validation(folder, category)]
    own = _own()
    groups = [_choice(one.text, one.tools, str(one.right and one.right[0])) for one in asked]
    groups += [_choice(one.request, LAB_TOOLS, one.tool) for one in own]
    choice = _pruned(learn(frequent(groups), l2=L2_CHOICE))
    decided = [(one.category, *_decision(one, choice)) for one in _decided(folder)]
    lab = [_lab_decision(one, choice) for one in own]
    pairs: list[Group] = [([found, {}], [meant, not meant]) for _, found, meant, _ in decided] + lab
    decision = _pruned(learn(frequent(pairs), l2=L2_DECISION))
    scores = decision.scores([found for _, found, _, _ in decided])
    verdicts = [
        (category, float(score), meant, right) for (category, _, meant, right), score in zip(decided, scores, strict=True)
    ]
    threshold = max(THRESHOLDS, key=lambda one: _mean_share(verdicts, one))
    learnt = LEARNT.format(bfcl=len(decided), own=len(own))
    return RouterWeights(learnt=learnt, choice=choice, decision=decision, threshold=threshold)


def learnt_arguments(folder: Path) -> ArgumentWeights:
    """Weights of the candidates of arguments."""
    rng = random.Random(0)
    asked = [question for category in (*CHOICES, *SINGLES) for question in _validation(folder, category)]
    own = [one for one in _own() if one.tool != NONE.name]
    groups = [group for question in asked for group in _argument_groups(question, rng)]
    for one in own:
        tool = next(tool for tool in LAB_TOOLS if tool.name == one.tool)
        answers = {name: [one.arguments.get(name, "")] for name in tool.parameters["properties"]}
        groups += _groups(Asked(one.request), tool, tool.parameters, answers, rng)
    order = learn(frequent(groups), l2=L2_ARGUMENTS, steps=300)
    return ArgumentWeights(learnt=LEARNT.format(bfcl=len(asked), own=len(own)), order=order)


def write_learnt(folder: Path) -> None:
    """Learn everything and write it into the package."""
    save_order(learnt_arguments(folder), arguments.WEIGHTS_FILE)
    save_order(learnt_router(folder), router.WEIGHTS_FILE)
    router.load_weights.cache_clear()
    arguments.load_weights.cache_clear()


def _own() -> list[LabRequest]:
    """Requests whose phrases and packages are not the test's. Features and constants were chosen on those."""
    return [*requests("train", each=EACH), *requests("validation", each=EACH)]


def frequent(groups: Sequence[Group]) -> list[Group]:
    """Groups without features that came up in fewer than `MIN_TIMES` of them."""
    times = Counter(name for found, _ in groups for name in set().union(*found))
    return [
        ([{name: value for name, value in one.items() if times[name] >= MIN_TIMES} for one in found], right)
        for found, right in groups
    ]


def _pruned(order: Order) -> Order:
    return Order(
        weights={
            name: weight for name, weight in order.weights.items() if not name.startswith("tool: ") or abs(weight) >= MIN_WEIGHT
        }
    )


def _validation(folder: Path, category: str) -> list[Question]:
    return [one for one in questions(folder, category) if one.validates]


def _decided(folder: Path) -> Iterator[Question]:
    for category in (*CHOICES, *SINGLES, *IRRELEVANT):
        yield from _validation(folder, category)


def _choice(request: str, tools: Sequence[Tool], right: str) -> Group:
    return features_of(request, tools), [tool.name == right for tool in tools]


def _decision(question: Question, choice: Order) -> tuple[Features, bool, bool]:
    """What decides on the best tool, whether any tool is right, and whether the best is."""
    found = features_of(question.text, question.tools)
    scores = choice.scores(found).tolist()
    best = question.tools[int(np.argmax(scores))].name
    right = question.right is not None and question.right[0] == best
    return decided_by(question.text, question.tools, found, scores), question.right is not None, right


def _lab_decision(one: LabRequest, choice: Order) -> Group:
    found = features_of(one.request, LAB_TOOLS)
    meant = one.tool != NONE.name
    return [decided_by(one.request, LAB_TOOLS, found, choice.scores(found).tolist()), {}], [meant, not meant]


def _mean_share(verdicts: Sequence[tuple[str, float, bool, bool]], threshold: float) -> float:
    """The mean over the categories of the share that is decided rightly."""
    by_category: dict[str, list[bool]] = {}
    for category, score, meant, right in verdicts:
        by_category.setdefault(category, []).append(right and score > threshold if meant else score <= threshold)
    return float(np.mean([np.mean(shares) for shares in by_category.values()]))


def _argument_groups(question: Question, rng: random.Random) -> Iterator[Group]:
    if question.right is not None:
        tool = next(tool for tool in question.tools if tool.name == question.right[0])
        yield from _groups(Asked(question.text[: arguments.MAX_REQUEST]), tool, tool.parameters, question.right[1], rng)


def _groups(asked: Asked, tool: Tool, schema: Schema, answers: Answers, rng: random.Random) -> Iterator[Group]:
    """For each parameter some of its candidates, and which of them are right; within objects too."""
    for parameter in parameters_of(schema):
        values = answers.get(parameter.name)
        if values is None:
            continue
        inner = parameter.schema.get("items") if type_of(parameter.schema) == "array" else parameter.schema
        if isinstance(inner, dict) and parameters_of(inner):
            first = next(_objects(values), None)
            yield from _groups(asked, tool, inner, first, rng) if first is not None else ()
            continue
        wanted = Wanted(tool, parameter)
        found = candidates(asked, wanted)
        right = [accepts(values, one.value, parameter.schema, given=not one.left_out) for one in found]
        if any(right):
            wrong = [number for number, good in enumerate(right) if not good]
            kept = [number for number, good in enumerate(right) if good] + rng.sample(wrong, min(WRONG, len(wrong)))
            yield [features(asked, wanted, found[number]) for number in kept], [right[number] for number in kept]


def _objects(values: Iterable[Any]) -> Iterator[Answers]:
    """The objects among accepted values, with lists of accepted values for their keys."""
    for value in values:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                yield {key: inner if isinstance(inner, list) else [inner] for key, inner in one.items()}
