"""How far training scales over machines, on paper: the table of docs/cluster.md, from measured parts.

    python -m benchmarks.scaling

Measured are the seconds of a step and the weights (runs/bench-train.json), and what goes over the links (tests/training). Given
are the links. The model leaves out what would only make it worse for one and not for the other: lost packets, sleeping laptops.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.training.local_sgd import ROUND_SECONDS

RUNS = Path(__file__).parents[1] / "runs" / "bench-train.json"
MODEL = "words"
COUNTS = (1, 2, 4, 8, 16, 32, 64)
TOGETHER_BYTES, APART_BYTES = 4, 2  # a weight: fp32 gradients after each step, fp16 ways after each round


@dataclass(frozen=True)
class Link:
    """Between any two machines: one-way delay, and what a machine sends and receives at once."""

    name: str
    delay_seconds: float
    bytes_per_second: float

    def sum_seconds(self, count: int, nbytes: float) -> float:
        """A ring sum: each machine sends its part 2 (count - 1) times, a count-th of the whole each time."""
        return 2 * (count - 1) * (self.delay_seconds + nbytes / count / self.bytes_per_second)


LINKS = (
    Link("wired, 1 Gbit/s, 0.1 ms", 0.0001, 1e9 / 8),
    Link("office Wi-Fi, 100 Mbit/s, 3 ms", 0.003, 100e6 / 8),
    Link("slow, 10 Mbit/s, 20 ms", 0.020, 10e6 / 8),
)


def step_seconds() -> tuple[float, int]:
    """Seconds of a step of one machine, and the weights of the model: the mean of the measured runs."""
    runs = [run for run in json.loads(RUNS.read_text(encoding="utf-8"))["runs"] if run["name"] == MODEL]
    return sum(run["seconds"] / run["steps"] for run in runs) / len(runs), runs[0]["parameters"]


def shares(link: Link, count: int, step: float, weights: int) -> tuple[float, float]:
    """The share of their time in which machines compute: with a sum after each step, and with one after each round."""
    together = step / (step + link.sum_seconds(count, TOGETHER_BYTES * weights))
    meeting = link.sum_seconds(count, APART_BYTES * weights)
    return together, ROUND_SECONDS / (ROUND_SECONDS + meeting)


def rows() -> Iterator[str]:
    """The table as Markdown: how much text so many machines read in the time in which one reads 1."""
    step, weights = step_seconds()
    yield f"| machines | {' | '.join(f'{link.name}: each step | rounds' for link in LINKS)} |"
    yield "|---:" * (1 + 2 * len(LINKS)) + "|"
    for count in COUNTS:
        cells = [f"{count * share:.1f}" for link in LINKS for share in shares(link, count, step, weights)]
        yield f"| {count} | {' | '.join(cells)} |"


if __name__ == "__main__":
    seconds, parameters = step_seconds()
    print(f"{MODEL}: {parameters:,} weights, {seconds:.3f} s a step")
    print("\n".join(rows()))
