"""Examples that a skill is learnt from and measured on: a prompt, the right answer, and where both come from.

They are split by package: the test are those that no model here was trained on, not even as plain text, and a prompt that has
a near-duplicate among the test's is dropped from training. The files are JSON lines, in an order that the examples' own hashes
decide, so the same sources make the same files on every machine.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict

from multiscale_transformer.data.dedup import near_duplicates
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.data.prompted import MANIFEST, Prompted, read_lines
from multiscale_transformer.files import new_folder, write_json, write_text
from multiscale_transformer.tasks.package_texts import unseen_packages

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
VALIDATION = 0.1  # share of the packages that are not the test's


class Example(Prompted):
    """What is asked, what is right, and from which package, file and rule it was made, under which licence (SPDX)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str = ""
    licence: str = ""

    @property
    def digest(self) -> str:
        """What orders examples: it does not depend on when or where they were made."""
        return hashlib.sha256(f"{self.task}\0{self.prompt}\0{self.answer}".encode()).hexdigest()


def split_of(package: str) -> Split:
    """Which split a package belongs to: by the hash of its name where it is none of the test's, whatever else is added."""
    if package in unseen_packages():
        return "test"
    at = int.from_bytes(hashlib.sha256(package.encode()).digest()[:8], "big") / 2**64
    return "validation" if at < VALIDATION else "train"


def capped(examples: Iterable[Example], *, rule: int, package: int) -> list[Example]:
    """At most so many examples of one rule in each split, and of one package, in the order of their digests, each once."""
    by_rule: Counter[tuple[str, Split]] = Counter()
    by_package: Counter[str] = Counter()
    kept = []
    for example in sorted({example.digest: example for example in examples}.values(), key=lambda one: one.digest):
        key = (example.rule, split_of(example.package))
        if by_rule[key] < rule and by_package[example.package] < package:
            by_rule[key] += 1
            by_package[example.package] += 1
            kept.append(example)
    return kept


def split_examples(
    examples: Iterable[Example], drop: Callable[[Example], bool] = lambda example: False
) -> dict[Split, list[Example]]:
    """Examples by split, without those that `drop` names and without training examples like one of another split.

    Alike are prompts. Within the training examples they may be: one function with several calls or findings is several lessons.
    """
    found: dict[Split, list[Example]] = {split: [] for split in SPLITS}
    for example in examples:
        if not drop(example):
            found[split_of(example.package)].append(example)
    held_out = [*found["test"], *found["validation"]]
    everything = [*held_out, *found["train"]]
    documents = Documents.from_items((str(number), example.prompt.encode()) for number, example in enumerate(everything))
    twins = set(near_duplicates(documents, range(len(everything)), originals=len(held_out)))
    found["train"] = [
        example for number, example in enumerate(everything[len(held_out) :], len(held_out)) if number not in twins
    ]
    return found


def write_examples(folder: Path, splits: dict[Split, list[Example]], sources: dict[str, str]) -> None:
    """Write one file a split and a manifest: counts by rule, licences by package, `sources` as they were, and hashes."""
    with new_folder(folder) as new:
        hashes = {}
        for split, examples in splits.items():
            text = "".join(example.model_dump_json() + "\n" for example in sorted(examples, key=lambda one: one.digest))
            write_text(new / f"{split}.jsonl", text)
            hashes[split] = hashlib.sha256(text.encode()).hexdigest()
        licences: dict[str, set[str]] = defaultdict(set)
        rules: Counter[str] = Counter()
        for example in (example for examples in splits.values() for example in examples):
            licences[example.package].add(example.licence)
            rules[example.rule] += 1
        manifest = {
            "counts": {split: len(examples) for split, examples in splits.items()},
            "sha256": hashes,
            "sources": sources,
            "licences": {package: ", ".join(sorted(found)) for package, found in sorted(licences.items())},
            "rules": dict(rules.most_common()),
        }
        write_json(new / MANIFEST, manifest)


def read_examples(folder: Path, split: Split) -> list[Example]:
    """The examples of a split. Raises AxlError where the folder holds none, or something else."""
    return read_lines(folder, split, Example)
