"""Making the data of a skill: examples from packages, without secrets and benchmarks, split by package, in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from multiscale_transformer.data.decontamination import Decontamination
from multiscale_transformer.data.secrets import secret_finder
from multiscale_transformer.tasks.bugs import from_mbpp
from multiscale_transformer.tasks.examples import Example, Split, split_examples, write_examples
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Skill


@dataclass(frozen=True)
class Made:
    """How many examples each split has, and how many were dropped, by reason."""

    counts: dict[Split, int]
    bytes: dict[Split, int]
    dropped: dict[str, int]


def make_data(
    skill: Skill,
    folder: Path,
    texts: Iterable[PackageText],
    benchmarks: Decontamination | None,
    on_text: Callable[[PackageText], None] = lambda text: None,
) -> Made:
    """Write the examples of a skill into a folder, in place of what it held. Raises AxlError where a tool is not installed."""
    dropped: Counter[str] = Counter()

    def told() -> Iterable[PackageText]:
        for text in texts:
            on_text(text)
            yield text

    with secret_finder() as secret:

        def drop(example: Example) -> bool:
            text = example.prompt + example.answer
            reason = secret(text)
            if reason is None and benchmarks is not None and not from_mbpp(example.package):
                reason = benchmarks.finds(text)
            dropped.update([reason] if reason else [])
            return reason is not None

        examples = skill.make_examples(told())
        splits = split_examples(examples, drop)
    dropped["like another example"] = len(examples) - dropped.total() - sum(map(len, splits.values()))
    write_examples(folder, splits, {"decontaminated": str(bool(benchmarks))})
    sizes: dict[Split, int] = {
        split: sum(len((one.prompt + one.answer).encode()) for one in found) for split, found in splits.items()
    }
    return Made({split: len(found) for split, found in splits.items()}, sizes, +dropped)
