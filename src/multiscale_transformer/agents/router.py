"""The tool router: which of the given tools a request in words asks for, or none.

Two learned sums decide. The first ranks the tools: what their words share with the request's (`agents.lexical`), and, with a
model, how likely it finds their names. The second says whether the best of them is meant at all. Both are conditional logits
(`tasks.fix_order.learn`), the second between the tool and nothing; `router_weights.json` says on what they were learnt. For tools of
which training requests exist (`agents.lab_tools`) the words of those requests are features too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from multiscale_transformer.agents.arguments import arguments_of
from multiscale_transformer.agents.lab_tools import LAB_TOOLS, NONE
from multiscale_transformer.agents.lexical import Features, RequestWords, ToolWords, choice_features, decision_features
from multiscale_transformer.agents.tool_schema import Tool, ToolCall
from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.tasks.fix_order import Order

WEIGHTS_FILE = Path(__file__).with_name("router_weights.json")
MAX_REQUEST = 6000  # characters of a request that are read
LIKELY_REQUEST, LIKELY_TOOL = 400, 200  # bytes of the request and of a tool's text that the model reads
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


class Likelihood:
    """How likely a model finds a tool behind a request, in nats a byte more than without the request."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, request: str, tools: Sequence[Tool]) -> list[float]:
        """For each tool, ln P(its name and description | the request) - ln P(them), by the byte."""
        texts = [f"{tool.name}: {tool.description}".encode()[:LIKELY_TOOL] for tool in tools]
        behind = self._totals(f"# {request}".encode()[:LIKELY_REQUEST], texts)
        alone = self._totals(b"#", texts)
        return [(with_it - without) / len(text) for with_it, without, text in zip(behind, alone, texts, strict=True)]

    def _totals(self, before: bytes, texts: Sequence[bytes]) -> list[float]:
        return log_probabilities(self._engine, [BOS, *before, *b"\n# "], [list(text) for text in texts])


def features_of(request: str, tools: Sequence[Tool], likelihood: Likelihood | None = None) -> list[Features]:
    """What the tools are ranked by: features of each, in the order of `tools`."""
    asked = RequestWords(request[:MAX_REQUEST])
    found = choice_features(asked, [ToolWords(tool) for tool in tools])
    for tool, features in zip(tools, found, strict=True):
        if tool == _LAB.get(tool.name):
            features |= {f"tool: {tool.name} and {word}": 1.0 for word in asked.stems} | {f"tool: {tool.name}": 1.0}
    if likelihood is not None:
        for features, value in zip(found, likelihood.of(request, tools), strict=True):
            features["likely"] = value
    return found


def decided_by(request: str, tools: Sequence[Tool], features: Sequence[Features], scores: Sequence[float]) -> Features:
    """What decides whether the best of the tools is meant."""
    best = max(range(len(tools)), key=lambda number: scores[number])
    return decision_features(RequestWords(request[:MAX_REQUEST]), ToolWords(tools[best]), scores, features[best])


def choose(
    request: str, tools: Sequence[Tool], likelihood: Likelihood | None = None, weights: RouterWeights | None = None
) -> Choice:
    """The tools in the order in which a request asks for them, and whether it asks for one at all."""
    if not tools:
        return Choice((), float("-inf"))
    weights = weights or load_weights()
    features = features_of(request, tools, likelihood)
    scores = weights.choice.scores(features).tolist()
    ranked = sorted((Ranked(tool, score) for tool, score in zip(tools, scores, strict=True)), key=lambda one: -one.score)
    decision = float(weights.decision.scores([decided_by(request, tools, features, scores)])[0])
    return Choice(tuple(ranked), decision - weights.threshold)


def route(request: str, tools: Sequence[Tool], likelihood: Likelihood | None = None) -> ToolCall | None:
    """The call that a request asks for, its arguments valid by the tool's schema; None where it asks for none of the tools.

    None too where a required argument is not in the request and cannot be made up: then a person is to be asked.
    """
    tool = choose(request, tools, likelihood).tool
    if tool is None or tool == NONE:
        return None
    arguments = arguments_of(request, tool)
    return None if arguments is None else ToolCall(tool.name, arguments)
