"""How likely a model finds tools behind a request: a rival of the router, alone and mixed with the overlap of words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.bfcl import Question
from multiscale_transformer.agents.lexical import Features
from multiscale_transformer.agents.router import features_of
from multiscale_transformer.agents.tool_schema import Tool
from multiscale_transformer.engine.continuations import log_probabilities
from multiscale_transformer.engine.engine import Engine
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.tasks.fix_order import learn

MAX_REQUEST, MAX_TOOL = 400, 200  # bytes of the request and of a tool's text that the model reads


class Likelihood:
    """How likely a model finds a tool behind a request, in nats a byte more than without the request."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, request: str, tools: Sequence[Tool]) -> list[float]:
        """For each tool, ln P(its name and description | the request) - ln P(them), by the byte."""
        texts = [f"{tool.name}: {tool.description}".encode()[:MAX_TOOL] for tool in tools]
        behind = self._totals(f"# {request}".encode()[:MAX_REQUEST], texts)
        alone = self._totals(b"#", texts)
        return [(with_it - without) / len(text) for with_it, without, text in zip(behind, alone, texts, strict=True)]

    def _totals(self, before: bytes, texts: Sequence[bytes]) -> list[float]:
        return log_probabilities(self._engine, [BOS, *before, *b"\n# "], [list(text) for text in texts])


def measured(model: Path, questions: Sequence[Question]) -> dict[str, tuple[float, float, float]]:
    """By category the tools found by a model, by it and the overlap of words, and by it and the router's features, as shares.

    The mixtures are learnt from the questions of the validation half; the shares are those of the other.
    """
    likelihood = Likelihood(open_scheduler(model).engine)
    asked = [one for one in questions if one.right]
    likely = [likelihood.of(one.text, one.tools) for one in asked]
    right = [[one.right is not None and tool.name == one.right[0] for tool in one.tools] for one in asked]
    words = [features_of(one.text, one.tools) for one in asked]
    shares: dict[str, list[float]] = {}
    for kept in ((), ("all",), None):  # features beside the likelihood; None: every one of them
        groups = [(_mixed(kept, found, values), good) for found, values, good in zip(words, likely, right, strict=True)]
        order = learn([group for one, group in zip(asked, groups, strict=True) if one.validates])
        for category in dict.fromkeys(one.category for one in asked):
            tested = [group for one, group in zip(asked, groups, strict=True) if one.category == category and not one.validates]
            found_right = [good[int(np.argmax(order.scores(features)))] for features, good in tested]
            shares.setdefault(category, []).append(float(np.mean(found_right)))
    return {category: (one[0], one[1], one[2]) for category, one in shares.items()}


def _mixed(kept: Sequence[str] | None, words: Sequence[Features], likely: Sequence[float]) -> list[Features]:
    return [
        {name: value for name, value in features.items() if kept is None or name in kept} | {"likely": nats}
        for features, nats in zip(words, likely, strict=True)
    ]
