"""Small things that several test files need: a tiny model and corpus, a clock that a test moves, a model with a script."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.checkpoint import save_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS, VOCAB_SIZE
from multiscale_transformer.training import trainer as trainer_module
from multiscale_transformer.training.settings import TrainSettings
from multiscale_transformer.training.trainer import Trainer

TINY = ModelConfig(d_model=16, n_heads=2, d_ff=32, n_layers_per_scale=(2, 1, 1), cross_d_ff=0, max_seq_len=64)
RATES = {"adamw": 1e-2, "galore": 1e-2, "lion": 3e-3, "muon": 2e-2, "sgd": 0.1}  # for models as tiny as these
PLENTY = 1 << 34  # bytes of memory, so that nothing is split

SHAPES = {
    "three scales": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2, max_seq_len=256),
    "flat": ModelConfig(d_model=32, n_heads=4, d_ff=40, n_layers_per_scale=2, downsample_factors=(1,), max_seq_len=256),
    "biases, two cross layers, no feed-forward across": ModelConfig(
        d_model=24,
        n_heads=2,
        d_ff=32,
        n_layers_per_scale=(2, 1, 1),
        n_cross_attn_layers=2,
        cross_d_ff=0,
        bias=True,
        max_seq_len=256,
    ),
    "scales of 1, 3 and 6": ModelConfig(
        d_model=32, n_heads=1, d_ff=64, n_layers_per_scale=1, downsample_factors=(1, 3, 6), max_seq_len=256
    ),
    "memory": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, memory=True, max_seq_len=256),
    "words": ModelConfig(
        d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2, downsample_factors=(1,), word_layers=3, max_seq_len=256
    ),
    "convolution": ModelConfig(
        d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=2, downsample_factors=(1,), conv_taps=5, max_seq_len=256
    ),
    "convolution, scales": ModelConfig(d_model=32, n_heads=2, d_ff=48, n_layers_per_scale=1, conv_taps=3, max_seq_len=256),
}
TEXT = [BOS, *(b"def area(radius):\n    return radius * radius * pi\n\n\nclass Shape:\n    pass\n" * 3)]


def model_of(config: ModelConfig = TINY, seed: int = 0) -> MultiScaleTransformer:
    torch.manual_seed(seed)
    return MultiScaleTransformer(config)


def checkpoint(config: ModelConfig, folder: Path) -> MultiScaleTransformer:
    """A model whose every part has a say, saved."""
    torch.manual_seed(0)
    model = MultiScaleTransformer(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim and parameter.abs().max() == 0:
                parameter.normal_(std=0.1)
    save_model(model, folder)
    return model


def corpus_memory() -> CorpusMemory:
    shard, _ = build_shard(
        [("shapes.py", b"def area(side):\n    return side * side\n"), ("more.py", b"class Circle:\n    pass\n")]
    )
    return CorpusMemory([shard])


def words(count: int, seed: int = 0) -> bytes:
    """Lines of a few words in random order: text with something to learn in it."""
    rng = random.Random(seed)
    lines = (b"return %s", b"if %s is None:", b"    %s = 0", b"def f(%s):")
    return b"\n".join(rng.choice(lines) % rng.choice((b"width", b"height", b"name")) for _ in range(count))


def documents(count: int = 4, seed: int = 0) -> Documents:
    return Documents.from_items((f"{index}.py", words(60, seed * 100 + index)) for index in range(count))


def corpus(sha256: str = "0" * 64) -> Corpus:
    return Corpus(documents(), documents(2, seed=1), {"binary": 3}, ("somewhere",), sha256)


def settings_of(**changes: object) -> TrainSettings:
    """One minute with a clock that moves a second a step is 60 steps."""
    values = {"minutes": 1.0, "batch_bytes": 128, "stages": ((0.0, 32),), "fim_rate": 0.1, **changes}
    return TrainSettings.model_validate(values)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def clock_that_ticks_per_step(monkeypatch: pytest.MonkeyPatch, seconds: float = 1.0) -> Clock:
    """Give the trainer a clock on which each step takes `seconds`."""
    clock, step = Clock(), Trainer.step

    def ticking(trainer: Trainer) -> None:
        step(trainer)
        clock.now += seconds

    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(perf_counter=clock))
    monkeypatch.setattr(Trainer, "step", ticking)
    return clock


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_weights(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def names_in(folder: Path) -> set[str]:
    """Everything that is in a folder, hidden files too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


class Scripted:
    """Stands in for a model: whatever the prompt, the ids that follow it are those of a script."""

    device = torch.device("cpu")

    def __init__(self, script: Sequence[int], prompt_length: int, config: ModelConfig = TINY) -> None:
        self.config = config
        self.calls: list[int] = []  # how many ids each call read
        self.reached: list[int] = []  # how many ids the cache then held
        self._script, self._prompt_length = script, prompt_length

    def states(self, ids_BT: Tensor, cache: Cache, features: None) -> tuple[Tensor, None]:
        cache.length += ids_BT.shape[1]
        self.calls.append(ids_BT.shape[1])
        self.reached.append(cache.length)
        return torch.zeros(1, ids_BT.shape[1], 1), None

    def head(self, h_BTE: Tensor, features: None) -> Tensor:
        wanted = self._script[(len(self.calls) - 1) % len(self._script)]
        return torch.nn.functional.one_hot(torch.tensor(wanted), VOCAB_SIZE).float().expand(1, h_BTE.shape[1], -1) * 99.0
