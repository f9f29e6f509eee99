"""CodeBLEU beside the package codebleu 0.7.0, which needs an interpreter of its own, on pairs made of code that you name.

    python -m venv REFERENCE && REFERENCE/bin/pip install codebleu
    REFERENCE/bin/pip install --no-deps tree-sitter==0.26.1 tree-sitter-python==0.25.0 tree-sitter-javascript==0.25.0 \\
        tree-sitter-java==0.23.5
    PYTHONPATH=src python tests/evaluation/codebleu_crosscheck.py REFERENCE/bin/python python=mbpp.jsonl java=FOLDER …

Of each text there are five pairs: with another text, with its lines in part changed, with its names changed, cut off
somewhere, and with its words in disorder. What differs by more than 1e-6 is counted by what makes it equal when the input of
both is repaired.
Without texts the numbers of `codebleu_golden.json` are written anew.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from multiscale_transformer.evaluation.codebleu.languages import GRAMMARS
from multiscale_transformer.evaluation.codebleu.score import codebleu
from multiscale_transformer.evaluation.codebleu.syntax import CodeReader, clean

Pair = tuple[str, str, str]  # language, reference, hypothesis
Scores = list[float]

HERE = Path(__file__).parent
GOLDEN = HERE / "codebleu_golden.json"
PARTS = ("n-grams", "weighted n-grams", "syntax", "data flow")
TOLERANCE = 1e-6
MOST_TEXTS = 150
SEEDS = ("0", "1", "2")


def reference_scores(python: str, pairs: list[Pair], *flags: str, seed: str = "0") -> list[Scores]:
    """What the package makes of pairs, a part that is not there being 0; and at last on how many texts its data flow failed."""
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    environment.pop("PYTHONPATH", None)
    command = [python, str(HERE / "codebleu_reference.py"), *flags]
    answer = subprocess.run(command, input=lines, text=True, stdout=subprocess.PIPE, check=True, env=environment).stdout
    return [json.loads(line) for line in answer.splitlines()]


def own_scores(pair: Pair) -> Scores:
    """The same of ours."""
    language, reference, hypothesis = pair
    return [score or 0.0 for score in codebleu([([reference], hypothesis)], language).parts.values()]


def texts_of(path: Path, language: str) -> list[str]:
    """Solutions of MBPP or HumanEval-X, or the files of a folder."""
    if path.is_dir():
        return [file.read_text("utf-8") for file in sorted(path.rglob("*")) if file.suffix in GRAMMARS[language].suffixes]
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as stream:
        records = [json.loads(line) for line in stream]
    return [record["code"] if "code" in record else record["declaration"] + record["canonical_solution"] for record in records]


def pairs_of(texts: list[str], language: str) -> Iterator[tuple[str, Pair]]:
    """Five kinds of pairs of each text."""
    rng = random.Random(language)
    chosen = rng.sample(texts, min(MOST_TEXTS, len(texts)))
    for text in chosen:
        words = sorted(set(re.findall(r"\b[a-z_]\w{2,}\b", text)) - GRAMMARS[language].keywords)
        names = {word: f"{rng.choice('abcdefg')}_{number}" for number, word in enumerate(words)}
        lines = text.split("\n")
        for number in rng.sample(range(len(lines)), max(1, len(lines) // 5)):
            lines[number] = rng.choice(lines)
        shuffled = re.split(r"(\s+)", text)
        shuffled[::2] = rng.sample(shuffled[::2], len(shuffled[::2]))
        yield "other", (language, text, rng.choice(texts))
        yield "lines", (language, text, "\n".join(lines))
        renamed = re.split(r"\b([a-z_]\w{2,})\b", text)
        renamed[1::2] = [names.get(word, word) for word in renamed[1::2]]
        yield "names", (language, text, "".join(renamed))
        yield "cut", (language, text, text[: rng.randrange(1, max(2, len(text)))])
        yield "disorder", (language, text, "".join(shuffled))


def _without_tabs(text: str, language: str) -> str:
    return text.replace("\r\n", "\n").expandtabs(8)


def _without_comments(text: str, language: str) -> str:
    """Until none is left: taking one out of broken code may make others."""
    with CodeReader(GRAMMARS[language]) as reader:
        parsed = reader.read(clean(text))
    bare = parsed[0].decode() if parsed else text
    return bare if bare == text else _without_comments(bare, language)


def _in_ascii(text: str, language: str) -> str:
    return re.sub(r"[^\x00-\x7f]", "u", text)


REPAIRS: dict[str, tuple[Callable[[str, str], str], Sequence[str]]] = {  # and what the package is told
    "tabs": (_without_tabs, ()),
    "comments and docstrings": (_without_comments, ("--bare",)),
    "not ASCII": (_in_ascii, ("--bare",)),
}


def compare(python: str, pairs: list[Pair]) -> dict[str, Counter[str]]:
    """For each part, the pairs by what sets ours and the reference's scores apart."""
    causes: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    differing = _apart(python, pairs)
    for part in PARTS:
        causes[part]["equal"] = len(pairs) - len(differing[part])
    repaired = pairs
    for cause, (repair, flags) in REPAIRS.items():
        repaired = [(language, repair(wanted, language), repair(written, language)) for language, wanted, written in repaired]
        wrong = sorted(set[int]().union(*differing.values()))
        still = _apart(python, [repaired[number] for number in wrong], *flags)
        for part in PARTS:
            left = {wrong[number] for number in still[part]} & differing[part]
            causes[part][cause] = len(differing[part] - left)
            differing[part] = left
    failing = [number for number, scores in enumerate(reference_scores(python, pairs, "--in-order")) if scores[-1]]
    causes["data flow"]["it fails"] = len(differing["data flow"] & set(failing))
    differing["data flow"] -= set(failing)
    for part in PARTS[:2]:
        short = {number for number in differing[part] if min(len(text.split()) for text in pairs[number][1:]) < 5}
        causes[part]["fewer than five words"] = len(short)
        differing[part] -= short
    for part in PARTS:
        causes[part]["not explained"] = len(differing[part])
        for number in sorted(differing[part])[:3]:
            print(part, *pairs[number], sep="\n--------\n", file=sys.stderr)
    return causes


def _apart(python: str, pairs: list[Pair], *flags: str) -> dict[str, set[int]]:
    """The numbers of the pairs on which a part differs."""
    apart: dict[str, set[int]] = {part: set() for part in PARTS}
    theirs = reference_scores(python, pairs, "--in-order", *flags)
    for number, (pair, scores) in enumerate(zip(pairs, theirs, strict=True)):
        for part, ours, reference in zip(PARTS, own_scores(pair), scores, strict=False):
            if abs(ours - reference) > TOLERANCE:
                apart[part].add(number)
    return apart


def unsteady(python: str, pairs: list[Pair]) -> tuple[int, int]:
    """On how many pairs the package's data flow is not the same in order and for all hash seeds, and not for all seeds."""
    runs = [reference_scores(python, pairs, seed=seed) for seed in SEEDS]
    runs.append(reference_scores(python, pairs, "--in-order"))
    flows = list(zip(*([scores[3] for scores in run] for run in runs), strict=True))
    return sum(len(set(flow)) > 1 for flow in flows), sum(len(set(flow[:-1])) > 1 for flow in flows)


def main() -> None:
    python, *sources = sys.argv[1:]
    if not sources:
        records = json.loads(GOLDEN.read_text("utf-8"))
        pairs = [(record["language"], record["reference"], record["hypothesis"]) for record in records]
        for record, scores in zip(records, reference_scores(python, pairs, "--in-order"), strict=True):
            record["scores"] = scores[: len(PARTS)]
        GOLDEN.write_text(json.dumps(records, indent=1) + "\n", "utf-8")
        return
    for source in sources:
        language, _, path = source.partition("=")
        kinds: dict[str, list[Pair]] = {}
        for kind, pair in pairs_of(texts_of(Path(path), language), language):
            kinds.setdefault(kind, []).append(pair)
        for kind, pairs in kinds.items():
            for part, causes in compare(python, pairs).items():
                print(f"{language:10} {kind:9} {part:17}", ", ".join(f"{cause} {n}" for cause, n in causes.items() if n))
            print(
                f"{language:10} {kind:9} of {len(pairs)} pairs, unsteady (in order, between seeds): {unsteady(python, pairs)}"
            )


if __name__ == "__main__":
    main()
