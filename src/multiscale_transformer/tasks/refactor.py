"""The skill refactor: a function in, an edit of a few lines out that a linter and Python's own parser have checked.

Examples are pairs that ruff made (`tasks.lint`), so ruff itself is right about all of them by construction, and one function in
seven that it finds nothing in, whose answer is "no change". Edits come from a memory of the pairs (`tasks.edit_memory`) and
then from the model, which writes them (`tasks.edit_format`) held to lines of the input; kept is what parses, loses a finding
and brings no new one.
"""

from __future__ import annotations

import hashlib
import random
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from multiscale_transformer.engine.structured_output import GrammarConstraint, lark_string
from multiscale_transformer.tasks.edit_format import NO_CHANGE, applied, hunks_between, read_hunks, written
from multiscale_transformer.tasks.edit_memory import EditPair, load_memory
from multiscale_transformer.tasks.examples import Example, Split, capped, read_examples
from multiscale_transformer.tasks.lint import MAX_FUNCTION, lint, pairs_in, rules_of, same_function
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.skill import Figures, Measurement, Skill
from multiscale_transformer.tasks.source_text import SourceText
from multiscale_transformer.tasks.writer import Writer

TASK = "refactor"
MAX_OF_RULE, MAX_OF_PACKAGE = 300, 1500
CLEAN = "clean"  # the rule of functions in which nothing is found
CLEAN_SHARE = 0.1
UNMARKED = 0.15  # share of the edits whose prompt does not say where: what people type by hand
MARK = "  # <- "  # stands before the rule, behind a line
MAX_ANSWER = 400  # bytes
MOST_RULES = 20  # the most frequent ones of the test, of which the headline speaks
SAMPLES = 8  # proposals of the model
REMEMBERED = 16  # edits learnt from pairs that are tried
_BATCH = 500  # files that ruff reads at once


def prompt_of(function: str, line: int | None = None, rule: str = "") -> str:
    """The published prompt: the function between `Before:` and `After:`.

    A `line` (from 1) is marked with the rule that found something there, as TFix tells its model (Berabi et al. 2021).
    """
    lines = function.rstrip().split("\n")
    if line is not None:
        lines[line - 1] = f"{lines[line - 1]}{MARK}{rule}"
    return "Before:\n" + "\n".join(lines) + "\nAfter:\n"


def make_examples(texts: Iterable[PackageText]) -> list[Example]:
    """Examples of all texts, capped by rule and package, with clean functions among them."""
    found: list[Example] = []
    clean: list[Example] = []
    for batch in _batches(texts):
        by_name = {f"{text.package}/{text.name}": text for text in batch}
        sources = {name: text.text for name, text in by_name.items()}
        for name, pair in pairs_in(sources):
            text = by_name[name]
            answer = written(hunks_between(pair.before, pair.after))
            marked = int(hashlib.sha256(pair.before.encode()).hexdigest(), 16) % 100 >= 100 * UNMARKED
            prompt = prompt_of(pair.before, pair.line, pair.rule) if marked else prompt_of(pair.before)
            found.append(_example(text, prompt, answer, pair.rule))
        for name, function in _clean_functions(sources):
            clean.append(_example(by_name[name], prompt_of(function), written([]), CLEAN))
    kept = capped(found, rule=MAX_OF_RULE, package=MAX_OF_PACKAGE)
    kept = [example for example in kept if len(example.answer.encode()) <= MAX_ANSWER]
    wanted = round(len(kept) * CLEAN_SHARE / (1 - CLEAN_SHARE))
    return kept + capped(clean, rule=wanted, package=max(1, wanted // 10))


def _example(text: PackageText, prompt: str, answer: str, rule: str) -> Example:
    return Example(
        task=TASK, prompt=prompt, answer=answer, package=text.package, origin=text.name, rule=rule, licence=text.licence
    )


def _batches(texts: Iterable[PackageText]) -> Iterator[list[PackageText]]:
    batch: list[PackageText] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _clean_functions(sources: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Functions of the texts in which nothing is found, a few of each text."""
    found: dict[str, list[int]] = defaultdict(list)
    for finding in lint(sources):
        found[finding.name].append(finding.line)
    for name, text in sources.items():
        try:
            source = SourceText(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        rng = random.Random(name)
        functions = [
            node
            for node in source.functions()
            if not any(node.lineno <= line <= (node.end_lineno or node.lineno) for line in found[name])
        ]
        for node in rng.sample(functions, min(2, len(functions))):
            begin, end = source.whole_lines(node)
            function = text[begin:end]
            if function.count("\n") > 2 and len(function.encode()) <= MAX_FUNCTION:
                yield name, function


def constraint_for(function: str, line: int | None = None) -> GrammarConstraint:
    """Answers for a function: no change, or hunks that begin with lines of it.

    Where a `line` (from 1) is marked, the first hunk begins with that line, and what comes for it is not the same again.
    """
    lines = function.rstrip().split("\n")
    old = " | ".join(lark_string(f"-{text}\n") for text in dict.fromkeys(lines))
    first, changed = f'"{NO_CHANGE}\\n" | hunk', ""
    if line is not None:
        marked, same = (lark_string(f"{sign}{lines[line - 1]}\n") for sign in "-+")
        first = f"{marked} (old+ NEW* | CHANGED NEW*)?"
        changed = f"CHANGED: /\\+[^\\n\\r]{{0,160}}\\n/ & ~{same}\n"
    hunks = f'start: {first} ("\\n" hunk)*\nhunk: old+ NEW*\nold: {old}\nNEW: /\\+[^\\n\\r]{{0,160}}\\n/\n'
    return GrammarConstraint.lark(hunks + changed)


def remembered(function: str, line: int, rule: str) -> list[str]:
    """Texts of the function after edits that were learnt from pairs, the likeliest right first (`tasks.edit_memory`)."""
    return load_memory().edits(rule, function, line, REMEMBERED)


def propose(
    writer: Writer, function: str, line: int | None = None, rule: str = "", *, samples: int = 1, seed: int = 0
) -> list[str]:
    """Texts of the function after the model's edits, the greedy one first; those that have no place or change nothing are left
    out. `line` and `rule` are where a linter found something, and what."""
    constraint = constraint_for(function, line)
    answers = writer.candidates(prompt_of(function, line, rule), samples, seed, most=MAX_ANSWER, constraint=constraint)
    found: dict[str, None] = {}
    for answer in answers:
        hunks = read_hunks(answer)
        after = applied(function, hunks) if hunks else None
        if after is not None and after != function:
            found.setdefault(after)
    return list(found)


@dataclass(frozen=True)
class Verified:
    """An edited function that passed: which rules have fewer findings than before."""

    after: str
    rules: tuple[str, ...]


def verify(function: str, proposals: Sequence[str]) -> list[Verified]:
    """Proposals that are still this function, with another syntax tree, fewer findings and none of a rule that had none."""
    usable = [after for after in proposals if same_function(function, after, or_changed=True)]
    before, *others = rules_of([function, *usable])
    return [
        Verified(after, tuple(sorted(before - now)))
        for after, now in zip(usable, others, strict=True)
        if not now - before and before - now
    ]


def measure(measurement: Measurement) -> Figures:
    """Right edits of the most frequent findings, and edits of functions in which nothing is to be found."""
    test = measurement.examples("test")
    dirty = [example for example in test if example.rule != CLEAN]
    frequent = {rule for rule, _ in Counter(example.rule for example in dirty).most_common(MOST_RULES)}
    dirty = [example for example in dirty if example.rule in frequent]
    clean = [example for example in test if example.rule == CLEAN]
    tried = [_tried(measurement, example) for example in dirty]
    counts, alone = _shares([one.all for one in tried]), _shares([one.model for one in tried])
    kept, without = _shares([one.memory for one in tried]), [_tried(measurement, example) for example in clean]
    figures = {
        **counts,
        "right edit, model alone": alone["right edit"],
        "some verified edit, model alone": alone["some verified edit"],
        "false edits": sum(one.all.shown is not None for one in without) / max(1, len(clean)),
        "false edits without verifying": sum(one.all.proposed for one in without) / max(1, len(clean)),
    }
    note = (
        f"right edit: the first proposal that verifies has the syntax tree of ruff's own fix; of the model, {SAMPLES} proposals"
    )
    return Figures(
        skill=TASK,
        examples=len(dirty) + len(clean),
        packages=len({example.package for example in dirty + clean}),
        figures=figures,
        rivals={"copy": {"right edit": 0.0}, "edits learnt from pairs, without the model": kept, "ruff": {"right edit": 1.0}},
        teachers=("ruff",),
        notes=(note, "ruff made the pairs and is right about them by construction"),
    )


class _Outcome(NamedTuple):
    """Of one example: whether there are proposals, whether the first is right, what is shown, and whether that is right."""

    proposed: bool
    at_once: bool
    shown: Verified | None
    right: bool


class _Tried(NamedTuple):
    """The outcomes with all proposals, with those of the memory of edits, and with the model's."""

    all: _Outcome
    memory: _Outcome
    model: _Outcome


def _tried(measurement: Measurement, example: Example) -> _Tried:
    """What is proposed as the command would: for the finding that is marked, or else for the first that the linter has."""
    function, rule = _function_of(example.prompt), example.rule
    wanted = applied(function, read_hunks(example.answer) or []) or function
    line = _marked_line(example.prompt)
    if line is None:
        finding = next((one for one in lint({"": textwrap.dedent(function)}) if example.rule in (one.rule, CLEAN)), None)
        line, rule = (finding.line, finding.rule) if finding else (None, "")
    kept = remembered(function, line, rule) if line is not None else []
    model = propose(measurement.writer, function, line, rule, samples=SAMPLES, seed=measurement.seed)
    return _Tried(*(_outcome(function, wanted, proposals) for proposals in ([*kept, *model], kept, model)))


def _outcome(function: str, wanted: str, proposals: Sequence[str]) -> _Outcome:
    shown = next(iter(verify(function, proposals)), None) if proposals else None
    right = shown is not None and same_function(shown.after, wanted)
    return _Outcome(bool(proposals), bool(proposals) and same_function(proposals[0], wanted), shown, right)


def _shares(outcomes: Sequence[_Outcome]) -> dict[str, float]:
    count = max(1, len(outcomes))
    return {
        "right edit": sum(one.right for one in outcomes) / count,
        "right without verifying": sum(one.at_once for one in outcomes) / count,
        "some verified edit": sum(one.shown is not None for one in outcomes) / count,
    }


def _function_of(prompt: str) -> str:
    """The function in a prompt, without the mark."""
    return "\n".join(line.partition(MARK)[0] for line in _lines_of(prompt))


def _lines_of(prompt: str) -> list[str]:
    return prompt.removeprefix("Before:\n").removesuffix("\nAfter:\n").split("\n")


def _marked_line(prompt: str) -> int | None:
    """The line (from 1) that a prompt marks."""
    return next((number for number, line in enumerate(_lines_of(prompt), 1) if MARK in line), None)


def edit_pairs(folder: Path, split: Split) -> Iterator[EditPair]:
    """The examples that say where the finding is, as pairs to learn a memory of edits from."""
    for example in read_examples(folder, split):
        line, hunks = _marked_line(example.prompt), read_hunks(example.answer)
        function = _function_of(example.prompt)
        after = applied(function, hunks) if hunks else None
        if line is not None and after is not None:
            yield EditPair(example.rule, function, after, line)


SKILL = Skill(TASK, make_examples, measure)
