"""What a leak of the future looks like: perplexity on random bytes, where the rule of time holds and where it does not.

Sixteen symbols are drawn uniformly, so no model can be below a perplexity of 16. The published design states no mask for its
coarse scales; where a query may read the block that it stands in, the model reads the byte that it is asked for. Such a model
looks excellent when whole texts are scored, as in training, and is lost when it writes and the future is not there.
"""

from __future__ import annotations

import math
from statistics import mean
from typing import Annotated, Literal
from unittest import mock

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.command import Seeds, main
from benchmarks.result import Result, Row, origin
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.model import model as model_module
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.cross_attention import visible
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Trainer

SYMBOLS, FIRST = 16, ord("a")
WINDOW = 16
HELD_OUT = 512  # windows
RAM = 1 << 33
CONFIG = ModelConfig(d_model=64, n_heads=2, d_ff=128, n_layers_per_scale=2, max_seq_len=64)
RULES = ("stamps", "own block")


class RuleRow(Row):
    """Perplexities of one rule, by seed: when whole windows are scored, and byte by byte, as a model writes."""

    rule: str
    scored: list[float]
    written: list[float]


class RandomBytesResult(Result):
    """Both rules on the same bytes."""

    kind: Literal["random_bytes"] = "random_bytes"
    symbols: int
    steps: int
    bytes_scored: int
    rules: list[RuleRow]


def run(
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Steps of training.")] = 300,
    seeds: Seeds = 3,
) -> RandomBytesResult:
    """Perplexity on random bytes under the rule of time, and where queries read the block that they stand in."""
    torch.set_num_threads(1)
    rows = []
    for rule in RULES:
        with mock.patch.object(model_module, "visible", visible if rule == "stamps" else _own_block):
            pairs = [_perplexities(steps, seed) for seed in range(seeds)]
        rows.append(RuleRow(rule=rule, scored=[one for one, _ in pairs], written=[other for _, other in pairs]))
    return RandomBytesResult(
        **origin("random_bytes", 1).model_dump(),
        symbols=SYMBOLS,
        steps=steps,
        bytes_scored=HELD_OUT * (WINDOW - 1),
        rules=rows,
    )


def _own_block(query_stamps_N: Tensor, key_stamps_M: Tensor) -> Tensor:
    """How many keys each query reads where it reads its own block, too, which ends after it."""
    return (torch.searchsorted(key_stamps_M, query_stamps_N, right=True) + 1).clamp(max=len(key_stamps_M))


def _perplexities(steps: int, seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed)
    train = Documents.from_items([("random", _drawn(random, 200_000).tobytes())])
    torch.manual_seed(seed)
    settings = TrainSettings(optimizer="muon", batch_bytes=64 * WINDOW, stages=((0.0, WINDOW),), fim_rate=0.0, seed=seed)
    trainer = Trainer(MultiScaleTransformer(CONFIG), CONFIG, train, settings, RAM)
    trainer.progress.fraction = 0.3
    for _ in range(steps):
        trainer.step()
    model = trainer.model.eval()
    ids_BT = torch.from_numpy(_drawn(random, HELD_OUT * WINDOW).astype(np.int64).reshape(HELD_OUT, WINDOW))
    with torch.inference_mode():
        whole = model(ids_BT[:, :-1])
        cache = Cache(CONFIG)
        written = torch.cat([model(ids_BT[:, at : at + 1], cache) for at in range(WINDOW - 1)], 1)
    return _perplexity(whole, ids_BT[:, 1:]), _perplexity(written, ids_BT[:, 1:])


def _drawn(random: np.random.Generator, count: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    return random.integers(FIRST, FIRST + SYMBOLS, count, dtype=np.uint8)


def _perplexity(logits_BTV: Tensor, ids_BT: Tensor) -> float:
    return math.exp(torch.nn.functional.cross_entropy(logits_BTV.flatten(0, 1).float(), ids_BT.flatten()).item())


def table(result: RandomBytesResult) -> str:
    """The two rules side by side."""
    lines = ["| a query may read | whole texts scored | byte by byte, as it writes |", "|---|---:|---:|"]
    names = {"stamps": "what is not later than itself", "own block": "the block that it stands in, too"}
    lines += [f"| {names[row.rule]} | {mean(row.scored):.2f} | {mean(row.written):,.2f} |" for row in result.rules]
    return "\n".join(
        [
            *lines,
            "",
            f"Perplexity on {result.bytes_scored:,} bytes that were drawn uniformly from {result.symbols} symbols, so that "
            f"{result.symbols} is the least possible; {result.steps} steps, means over {len(result.rules[0].scored)} seeds.",
            "",
        ]
    )


RESULT = RandomBytesResult

if __name__ == "__main__":
    main("random_bytes")
