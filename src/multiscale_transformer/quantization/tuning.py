"""Mixed-precision quantization: choosing which linear maps can do with 4 bits, by measurement.

Maps are tried in groups (the same part of the same scale), each group alone in 4 bits; groups are then taken in order of the
bits per byte they cost for each weight they save, for as long as all together cost no more than is allowed, which is measured
too. How a choice is measured is the caller's: a function from bits to bits per byte.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.quantization.engine_file import write_bits

ALLOWED = 0.01  # bits per byte that all maps of 4 bits may cost together

Bits = dict[str, int]  # by the name of a map; the others have 8
Cost = Callable[[Bits | int], float]  # bits per byte of a model whose maps have these bits, or all the same


@dataclass(frozen=True)
class Tuned:
    """What was chosen and measured: bits by map, and bits per byte with 8 bits everywhere, 4 everywhere, and as chosen."""

    bits: Bits
    cost_of_8: float
    cost_of_4: float
    cost: float
    group_costs: dict[str, float]


def tune(
    sizes: Mapping[str, int], cost: Cost, *, allowed: float = ALLOWED, on_progress: Callable[[float], None] = lambda done: None
) -> Tuned:
    """Choose the bits of every map of a model; `sizes` are the weights of each."""
    groups = group_maps(sizes)
    cost_of_8, cost_of_4 = cost(8), cost(4)
    group_costs: dict[str, float] = {}
    for number, (group, names) in enumerate(groups.items(), 1):
        group_costs[group] = cost(dict.fromkeys(names, 4)) - cost_of_8
        on_progress(number / len(groups))
    order = sorted(groups, key=lambda group: group_costs[group] / sum(sizes[name] for name in groups[group]))
    bits, chosen_cost = _longest([groups[group] for group in order], cost, cost_of_8 + allowed)
    return Tuned(bits, cost_of_8, cost_of_4, chosen_cost, group_costs)


def save_tuned(folder: Path, tuned: Tuned) -> None:
    """Write the choice into a checkpoint's `engine.json`. Raises AxlError when another process is writing there."""
    measured = {"8 bits": tuned.cost_of_8, "4 bits": tuned.cost_of_4, "chosen": tuned.cost}
    write_bits(folder, tuned.bits, bits_per_byte=measured, costs=tuned.group_costs)


def group_maps(names: Iterable[str]) -> dict[str, list[str]]:
    """Maps by group: the same part in all layers of a scale, or of all pairs across scales."""
    groups: dict[str, list[str]] = {}
    for name in names:
        group = re.sub(r"^(stacks\.\d+|words\.blocks)\.\d+", r"\1", re.sub(r"^cross\.\d+\.\d+", "cross", name))
        groups.setdefault(group.removesuffix(".weight"), []).append(name)
    return groups


def _longest(groups: list[list[str]], cost: Cost, limit: float) -> tuple[Bits, float]:
    """As many of the first groups as cost no more than `limit` together, found by halving."""
    low, high = 0, len(groups)
    best: tuple[Bits, float] = ({}, limit)
    while low <= high:
        middle = (low + high) // 2
        bits = {name: 4 for group in groups[:middle] for name in group}
        measured = cost(bits)
        if measured <= limit:
            low, best = middle + 1, (bits, measured)
        else:
            high = middle - 1
    return best
