"""Twenty steps with a fixed seed and a fixed clock: a change of the code that changes what is learned shows here.

The figures are those of fp32 on one thread. Whoever changes training on purpose prints them anew:
`PYTHONPATH=.:tests python tests/training/test_golden_loss.py`.
"""

from __future__ import annotations

import math

import pytest
import torch

from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.shard import build_shard
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.training.trainer import Trainer
from tiny import PLENTY, TINY, clock_that_ticks_per_step, documents, model_of, settings_of

STEPS = 20
MODELS = {
    "three scales, grown": (TINY, {"grow": True}),
    "one stack and a memory": (
        TINY.model_copy(update={"downsample_factors": (1,), "n_layers_per_scale": (2,), "memory": True}),
        {"stages": ((0.0, 16), (0.5, 32))},
    ),
    "words": (TINY.model_copy(update={"downsample_factors": (1,), "n_layers_per_scale": (2,), "word_layers": 2}), {}),
}
GOLDEN: dict[str, list[float]] = {
    "three scales, grown": [
        5.54591,
        5.536202,
        5.328473,
        5.109716,
        4.747019,
        4.373444,
        4.060585,
        3.750706,
        3.72664,
        3.400595,
        3.301896,
        3.169257,
        3.038779,
        3.027971,
        2.997062,
        2.892569,
        3.044958,
        3.01131,
        2.970887,
        2.778641,
    ],
    "one stack and a memory": [
        3.918378,
        4.180285,
        2.663815,
        2.62382,
        0.816768,
        1.690542,
        0.30459,
        0.711974,
        0.425164,
        1.185744,
        1.934847,
        1.084615,
        0.432987,
        1.524969,
        0.462448,
        0.144851,
        0.210568,
        0.27978,
        2.007978,
        1.05864,
    ],
    "words": [
        5.552295,
        5.546016,
        5.269938,
        5.006194,
        4.625946,
        4.298783,
        4.021519,
        3.725171,
        3.661184,
        3.378603,
        3.267803,
        3.165124,
        3.036169,
        3.027367,
        2.986946,
        2.90753,
        3.040747,
        3.017806,
        2.984526,
        2.83603,
    ],
}


def losses(config: ModelConfig, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nats per byte of each of twenty steps of a second, in a time box of as many."""
    clock_that_ticks_per_step(monkeypatch)
    seen: list[float] = []
    backward = Trainer._backward

    def recorded(trainer: Trainer, *arguments: object) -> float:
        seen.append(backward(trainer, *arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(Trainer, "_backward", recorded)
    data, memory = documents(), None
    if config.memory:
        memory = CorpusMemory([build_shard(data)[0]], leave_out="document")
    settings = settings_of(minutes=STEPS / 60, seed=7, **changes)
    start = config.model_copy(update={"n_layers_per_scale": 1}) if settings.grow else config
    Trainer(model_of(start, seed=7), config, data, settings, PLENTY, None, memory).run()
    return seen


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("threads", [1, 2])
def test_twenty_steps_lose_what_they_lost(name: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    config, changes = MODELS[name]
    found = losses(config, {**changes, "threads": threads}, monkeypatch)
    assert len(found) == STEPS
    assert all(map(math.isfinite, found))
    assert found == pytest.approx(GOLDEN[name], rel=1e-4)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for label, (shape, settings) in MODELS.items():
        with pytest.MonkeyPatch.context() as patch:
            print(f'    "{label}": {[round(loss, 6) for loss in losses(shape, settings, patch)]},')
