"""The tool router: which of the given tools a request in words asks for, or none.

Two learned sums decide. The first ranks the tools by what their words share with the request's (`agents.lexical`); the second
says whether the best of them is meant at all. Both are conditional logits (`tasks.fix_order.learn`), the second between the
tool and nothing; `router_weights.json` says on what they were learnt. For the tools of the lab (`agents.lab_tools`), to which
there are requests to learn from, what those requests say is a feature too. No net takes part: how likely a model finds a tool
behind the request helps the mere overlap of words, and adds nothing to these features (`python -m benchmarks.router
--model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.agents.arguments import arguments_of
from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.lexical import Features, RequestWords, ToolWords, choice_features, decision_features
from multiscale_transformer.agents.marks import MARKS, is_tests, marks_in
from multiscale_transformer.agents.tool_schema import Tool, ToolCall
from multiscale_transformer.agents.words import stem, verb_classes
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.fix_order import Order

WEIGHTS_FILE = Path(__file__).with_name("router_weights.json")
MAX_REQUEST = 6000  # characters of a request that are read
BEGINNING = 4  # letters by which words of one family are one
MAX_LAB_REQUEST = 500  # characters of which words and pairs are features
_LAB = {tool.name: tool for tool in LAB_TOOLS}


class RouterWeights(BaseModel):
    """What decides: weights of the choice and of the decision, the score that the decision needs, and how they were learnt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learnt: str
    choice: Order
    decision: Order
    threshold: float


@cache
def load_weights(path: Path = WEIGHTS_FILE) -> RouterWeights:
    """Weights from a JSON file. Raises AxlError for one that holds none."""
    try:
        return RouterWeights.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise AxlError(f"{path} holds no weights of a router ({error})") from error


@dataclass(frozen=True)
class Ranked:
    """A tool and the score it is ranked by: more is likelier."""

    tool: Tool
    score: float


@dataclass(frozen=True)
class Choice:
    """Tools, best first, and whether the first is meant: `decision` is above 0 then."""

    ranked: tuple[Ranked, ...]
    decision: float

    @property
    def tool(self) -> Tool | None:
        """The tool that is meant, if one is."""
        return self.ranked[0].tool if self.ranked and self.decision > 0 else None


def features_of(request: str, tools: Sequence[Tool]) -> list[Features]:
    """What the tools are ranked by: features of each, in the order of `tools`."""
    asked = RequestWords(request[:MAX_REQUEST])
    found = choice_features(asked, [ToolWords(tool) for tool in tools])
    said = _said(asked.text) if any(map(_is_of_lab, tools)) else set()
    for tool, features in zip(tools, found, strict=True):
        if _is_of_lab(tool):
            features.update({f"tool: {tool.name}": 1.0} | {f"tool: {tool.name} and {word}": 1.0 for word in said})
    return found


def _is_of_lab(tool: Tool) -> bool:
    return tool == _LAB.get(tool.name)


def _said(text: str) -> set[str]:
    """What the tools of the lab are known by: stems and marks of a request, alone and in pairs, what they mean and lack."""
    text = text[:MAX_LAB_REQUEST]
    found = marks_in(text)
    parts = ["<", *(part if part in MARKS else stem(part) for part in found)]
    means = {f"to {name}" for part in parts for name in verb_classes([part])}
    begins = {f"{part[:BEGINNING]}-" for part in found if len(part) > BEGINNING and part not in MARKS}
    lacks = {f"no {mark}" for mark in MARKS if mark not in parts} | (set() if set(MARKS) & set(parts) else {"no mark"})
    return {*parts[1:], *(f"{one} {other}" for one, other in pairwise(parts)), *means, *begins, *lacks, is_tests(text)}


def decided_by(request: str, tools: Sequence[Tool], features: Sequence[Features], scores: Sequence[float]) -> Features:
    """What decides whether the best of the tools is meant."""
    best = max(range(len(tools)), key=lambda number: scores[number])
    return decision_features(RequestWords(request[:MAX_REQUEST]), ToolWords(tools[best]), scores, features[best])


def choose(request: str, tools: Sequence[Tool], weights: RouterWeights | None = None) -> Choice:
    """The tools in the order in which a request asks for them, and whether it asks for one at all."""
    if not tools:
        return Choice((), float("-inf"))
    weights = weights or load_weights()
    features = features_of(request, tools)
    scores = weights.choice.scores(features).tolist()
    ranked = sorted((Ranked(tool, score) for tool, score in zip(tools, scores, strict=True)), key=lambda one: -one.score)
    decision = float(weights.decision.scores([decided_by(request, tools, features, scores)])[0])
    return Choice(tuple(ranked), decision - weights.threshold)


def route(request: str, tools: Sequence[Tool]) -> ToolCall | None:
    """The call that a request asks for, its arguments valid by the tool's schema; None where it asks for none of the tools.

    None too where a required argument is not in the request and cannot be made up: then a person is to be asked. Beside tools
    of the lab NONE stands always, as it did when they were learnt.
    """
    lacks_none = any(map(_is_of_lab, tools)) and NONE not in tools
    tool = choose(request, [*tools, NONE] if lacks_none else tools).tool
    if tool is None or tool == NONE:
        return None
    arguments = arguments_of(request, tool)
    return None if arguments is None else ToolCall(tool.name, arguments)
