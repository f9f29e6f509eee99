"""Choosing bits by measurement: what is cheap gets 4, what is dear keeps 8, and no more is spent than is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from multiscale_transformer.engine.engine import Engine, load_engine
from multiscale_transformer.engine.prompt_scoring import engine_bits_per_byte
from multiscale_transformer.engine.weights import build_network, linear_names, read_weights
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.quantization.engine_file import read_bits
from multiscale_transformer.quantization.tuning import Bits, group_maps, save_tuned, tune
from tiny import SHAPES, checkpoint

TEXTS = [b"def area(radius):\n    return radius * radius\n", b"import os\n" * 12]


@pytest.mark.parametrize("shape", ["three scales", "words"])
def test_the_engine_scores_as_the_reference_does(shape: str, tmp_path: Path) -> None:
    checkpoint(SHAPES[shape], tmp_path)
    torch.set_num_threads(1)
    reference = score_documents(load_model(tmp_path), [("", text) for text in TEXTS]).bits_per_byte
    assert engine_bits_per_byte(load_engine(tmp_path, bits=8), TEXTS) == pytest.approx(reference, abs=0.01)


def test_no_more_is_spent_than_is_allowed_and_the_choice_is_kept(tmp_path: Path) -> None:
    config = SHAPES["three scales"]
    checkpoint(config, tmp_path)
    weights = read_weights(tmp_path)

    def cost(bits: Bits | int) -> float:
        return engine_bits_per_byte(Engine(config, build_network(config, weights, bits)), TEXTS)

    sizes = {name: weights[name].size for name in linear_names(config)}
    generous = tune(sizes, cost, allowed=100.0)
    assert set(generous.bits) == set(linear_names(config))
    assert generous.cost == generous.cost_of_4
    tight = tune(sizes, cost, allowed=0.001)
    assert len(tight.bits) < len(generous.bits)
    assert tight.cost <= tight.cost_of_8 + 0.001
    save_tuned(tmp_path, tight)
    assert read_bits(tmp_path) == tight.bits
    measured = engine_bits_per_byte(load_engine(tmp_path), TEXTS)
    assert measured == tight.cost


@pytest.mark.parametrize("shape", SHAPES)
def test_groups_hold_every_map_once(shape: str) -> None:
    config = SHAPES[shape]
    grouped = [name for names in group_maps(linear_names(config)).values() for name in names]
    assert sorted(grouped) == sorted(linear_names(config))
    assert group_maps(linear_names(config))["stacks.0.attention.qkv"] == [
        f"stacks.0.{layer}.attention.qkv.weight" for layer in range(config.layers[0])
    ]
    if config.word_layers:
        layers = range(config.word_layers)
        words = [f"words.blocks.{layer}.feed_forward.w2.weight" for layer in layers]
        assert group_maps(linear_names(config))["words.blocks.feed_forward.w2"] == words
