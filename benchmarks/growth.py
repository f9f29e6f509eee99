"""What a named model loses right after it began as a smaller one: nothing, where its shape can say what that says.

Every recipe is given the weights of a base (`--init` of `axl train`), and both are scored on the same windows of the base's
own held-out text, before any training. Shapes that cannot preserve the function are listed with the reason.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import typer
from torch.nn import functional as F

from benchmarks.command import LIBRARY, main
from benchmarks.comparison import corpus_of
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint
from multiscale_transformer.cli.train import beginning_as
from multiscale_transformer.memory.lookup import CorpusMemory, Window
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.memory_tensors import MemoryTensors
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.initialization import initial_model
from multiscale_transformer.training.widen import why_not
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names
from multiscale_transformer.zoo.shipped import shipped_model

WINDOWS, WINDOW = 4, 512
INDEXED = 20  # files: enough for the memory to speak


class Grown(Row):
    """A named model that began as the base: its loss before any step, or why it cannot."""

    name: str
    parameters: int
    loss: float | None = None
    reason: str | None = None


class GrowthResult(Result):
    """Nats per byte of the base, and of every named model right after it began as it."""

    kind: Literal["growth"] = "growth"
    base: str
    loss: float
    grown: list[Grown]


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    largest: Annotated[int, typer.Option(metavar="N", min=1, help="Leave out models of more parameters.")] = 2_000_000_000,
) -> GrowthResult:
    """Every named model right after `--init`: its loss, beside that of the model it began as."""
    base = load_model(model)
    ids_BT, recall = sample()
    grown = []
    for name in recipe_names():
        config = beginning_as(model, load_recipe(name), memory=base.config.memory).model
        reason = why_not(base.config, config)
        if config.parameters() > largest:
            continue
        loss = None if reason else loss_of(initial_model(config, model, seed=0), ids_BT, recall)
        grown.append(Grown(name=name, parameters=config.parameters(), loss=loss, reason=reason))
    return GrowthResult(
        **origin("growth", torch.get_num_threads()).model_dump(),
        base=model.name,
        loss=loss_of(base, ids_BT, recall),
        grown=grown,
    )


def sample() -> tuple[torch.Tensor, MemoryTensors]:
    """Windows of held-out files of the library, (WINDOWS, WINDOW + 1), and what an index of other files says in them."""
    corpus = corpus_of(LIBRARY)
    texts = [text for _, text in corpus.held_out if len(text) > WINDOW][:WINDOWS]
    ids_BT = torch.tensor([list(text[: WINDOW + 1]) for text in texts])
    memory = CorpusMemory([build_shard(list(corpus.train.documents())[:INDEXED])[0]])
    return ids_BT, memory.recall([Window(ids) for ids in ids_BT[:, :-1].numpy()])


@torch.no_grad()
def loss_of(model: MultiScaleTransformer, ids_BT: torch.Tensor, recall: MemoryTensors) -> float:
    """Nats per byte."""
    logits_BTV = model.eval()(ids_BT[:, :-1], features=recall if model.config.memory else None)
    return F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten()).item()


def table(result: GrowthResult) -> str:
    """Losses in nats per byte, or reasons."""
    lines = ["| | parameters | right after `--init` shipped |", "|---|---:|---|"]
    for row in result.grown:
        said = row.reason if row.loss is None else f"{row.loss:.5f} nats a byte ({row.loss - result.loss:+.5f})"
        lines.append(f"| {row.name} | {row.parameters:,} | {said} |")
    return "\n".join(lines) + f"\n\nThe base has {result.loss:.5f}.\n"


RESULT = GrowthResult

if __name__ == "__main__":
    main("growth")
