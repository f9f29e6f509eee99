"""Which linear maps can do with 4 bits: measured on text, map by map, and kept in the checkpoint.

Maps are tried in groups (the same part of the same scale), each group alone in 4 bits; groups are then taken in order of the
bits per byte they cost for each weight they save, for as long as all together cost no more than is allowed, which is measured
too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from multiscale_transformer.engine.engine import MAX_BATCH_TOKENS, Engine, Read
from multiscale_transformer.engine.weights import build_network, linear_names, read_weights
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.memory.reader import TextReader, no_features
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.model.vocabulary import BOS
from multiscale_transformer.quantization.engine_file import write_bits

ALLOWED = 0.01  # bits per byte that all maps of 4 bits may cost together

Texts = Sequence[bytes]


@dataclass(frozen=True)
class Tuned:
    """What came of it: bits by map, and bits per byte with 8 bits everywhere, 4 bits everywhere, and as chosen."""

    bits: dict[str, int]
    of_8: float
    of_4: float
    chosen: float


def engine_bits_per_byte(engine: Engine, texts: Texts, memory: CorpusMemory | None = None) -> float:
    """Cost of the beginnings of `texts`, a context each, under the compiled engine."""
    nats, count = 0.0, 0
    for text in texts:
        ids = [BOS, *text[: engine.config.max_seq_len]]
        read = ids[:-1]
        uses = memory is not None and engine.config.memory
        found = (
            TextReader(memory.rows, len(memory.shards)).read(read) if memory is not None and uses else no_features(len(read))
        )
        sequence = engine.new_sequence(read, object())
        for begin in range(0, len(read), MAX_BATCH_TOKENS):
            part = slice(begin, min(len(read), begin + MAX_BATCH_TOKENS))
            (logits_TV,) = engine.read([Read(sequence, read[part], found.part(part), part.stop - part.start)])
            wide_TV = logits_TV.astype(np.float64)
            wide_TV -= wide_TV.max(-1, keepdims=True)
            targets = np.array(ids[begin + 1 : part.stop + 1])
            nats += float((np.log(np.exp(wide_TV).sum(-1)) - wide_TV[np.arange(len(targets)), targets]).sum())
            count += len(targets)
        sequence.close()
    return nats / count / math.log(2)


def tune(
    folder: Path,
    texts: Texts,
    memory: CorpusMemory | None = None,
    *,
    allowed: float = ALLOWED,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Tuned:
    """Choose the bits of every map of a checkpoint and write them into it. Raises AxlError when it is no checkpoint."""
    config, weights = read_config(folder), read_weights(folder)
    groups = group_maps(config)

    def cost(bits: dict[str, int] | int) -> float:
        engine = Engine(config, build_network(config, weights, bits))
        return engine_bits_per_byte(engine, texts, memory)

    of_8, of_4 = cost(8), cost(4)
    costs: dict[str, float] = {}
    for number, (group, names) in enumerate(groups.items()):
        costs[group] = cost(dict.fromkeys(names, 4)) - of_8
        on_progress((number + 1) / len(groups))
    sizes = {group: sum(weights[name].size for name in names) for group, names in groups.items()}
    order = sorted(groups, key=lambda group: costs[group] / sizes[group])
    chosen, found = _longest(order, groups, cost, of_8 + allowed)
    write_bits(folder, chosen, bits_per_byte={"8 bits": of_8, "4 bits": of_4, "chosen": found}, costs=costs)
    return Tuned(chosen, of_8, of_4, found)


def _longest(
    order: list[str], groups: dict[str, list[str]], cost: Callable[[dict[str, int]], float], most: float
) -> tuple[dict[str, int], float]:
    """As many groups from the front of `order` as cost no more than `most` together, found by halving."""
    low, high = 0, len(order)
    best: tuple[dict[str, int], float] = ({}, most)
    while low <= high:
        middle = (low + high) // 2
        bits = {name: 4 for group in order[:middle] for name in groups[group]}
        found = cost(bits)
        if found <= most:
            low, best = middle + 1, (bits, found)
        else:
            high = middle - 1
    return best


def group_maps(config: ModelConfig) -> dict[str, list[str]]:
    """The maps of a model by group: the same part in all layers of a scale, or of all pairs across scales."""
    groups: dict[str, list[str]] = {}
    for name in linear_names(config):
        group = re.sub(r"^(stacks\.\d+)\.\d+", r"\1", re.sub(r"^cross\.\d+\.\d+", "cross", name))
        groups.setdefault(group.removesuffix(".weight"), []).append(name)
    return groups
