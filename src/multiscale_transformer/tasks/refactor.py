"""The skill refactor: a function in, an edit of a few lines out that a linter and Python's own parser have checked.

Examples are pairs that ruff made (`tasks.lint`), so ruff itself is right about all of them by construction, and one function in
seven that it finds nothing in, whose answer is "no change". The model writes the edit (`tasks.edit_format`), held to lines of
the input; kept is what parses, loses a finding and brings no new one.
"""

from __future__ import annotations

import hashlib
import random
import textwrap
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from multiscale_transformer.engine.structured_output import GrammarConstraint, lark_string
from multiscale_transformer.tasks.edit_format import NO_CHANGE, applied, hunks_between, read_hunks, written
from multiscale_transformer.tasks.examples import Example, capped
from multiscale_transformer.tasks.lint import MAX_FUNCTION, lint, pairs_in, same_function
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


def constraint_for(function: str) -> GrammarConstraint:
    """Answers for a function: no change, or hunks that begin with lines of it."""
    lines = dict.fromkeys(function.rstrip().split("\n"))
    old = " | ".join(lark_string(f"-{line}\n") for line in lines)
    grammar = f'start: "{NO_CHANGE}\\n" | hunk ("\\n" hunk)*\nhunk: old+ new*\nold: {old}\nnew: /\\+[^\\n\\r]{{0,160}}\\n/\n'
    return GrammarConstraint.lark(grammar)


def propose(
    writer: Writer, function: str, line: int | None = None, rule: str = "", *, samples: int = 1, seed: int = 0
) -> list[str]:
    """Texts of the function after the model's edits, the greedy one first; those that have no place or change nothing are left
    out. `line` and `rule` are where a linter found something, and what."""
    return _edited(writer, prompt_of(function, line, rule), function, samples=samples, seed=seed)


def _edited(writer: Writer, prompt: str, function: str, *, samples: int, seed: int) -> list[str]:
    constraint = constraint_for(function)
    answers = writer.candidates(prompt, samples, seed, most=MAX_ANSWER, constraint=constraint)
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
    texts = {str(number): textwrap.dedent(text) for number, text in enumerate([function, *usable])}
    counts: list[Counter[str]] = [Counter() for _ in texts]
    for finding in lint(texts):
        counts[int(finding.name)][finding.rule] += 1
    before, *others = counts
    return [
        Verified(after, tuple(sorted(before - now)))
        for after, now in zip(usable, others, strict=True)
        if not now - before and before - now
    ]


MOST_RULES = 20  # the most frequent ones of the test, of which the headline speaks
SAMPLES = 8  # proposals of which the first that verifies is shown


def measure(measurement: Measurement) -> Figures:
    """Right edits of the most frequent findings, and edits of functions in which nothing is to be found."""
    test = measurement.examples("test")
    dirty = [example for example in test if example.rule != CLEAN]
    frequent = {rule for rule, _ in Counter(example.rule for example in dirty).most_common(MOST_RULES)}
    dirty = [example for example in dirty if example.rule in frequent]
    clean = [example for example in test if example.rule == CLEAN]
    right = at_once = verified = edited = shown = 0
    for example in dirty:
        function = _function_of(example.prompt)
        proposals = _proposals(measurement, example.prompt, function)
        wanted = applied(function, read_hunks(example.answer) or []) or function
        passed = verify(function, proposals)
        right += bool(passed) and same_function(passed[0].after, wanted)
        at_once += bool(proposals) and same_function(proposals[0], wanted)
        verified += bool(passed)
    for example in clean:
        function = _function_of(example.prompt)
        proposals = _proposals(measurement, example.prompt, function)
        edited += bool(proposals)
        shown += bool(verify(function, proposals))
    figures = {
        "right edit": right / max(1, len(dirty)),
        "right without verifying": at_once / max(1, len(dirty)),
        "some verified edit": verified / max(1, len(dirty)),
        "false edits": shown / max(1, len(clean)),
        "false edits without verifying": edited / max(1, len(clean)),
    }
    rivals = {"copy": {"right edit": 0.0}, "ruff": {"right edit": 1.0}}
    note = f"right edit: of {SAMPLES} proposals the first that verifies has the syntax tree of ruff's own fix"
    packages = len({example.package for example in dirty + clean})
    return Figures(
        skill=TASK,
        examples=len(dirty) + len(clean),
        packages=packages,
        figures=figures,
        rivals=rivals,
        teachers=("ruff",),
        notes=(note, "ruff made the pairs and is right about them by construction"),
    )


def _function_of(prompt: str) -> str:
    """The function in a prompt, without the mark."""
    lines = prompt.removeprefix("Before:\n").removesuffix("\nAfter:\n").split("\n")
    return "\n".join(line.partition(MARK)[0] for line in lines)


def _proposals(measurement: Measurement, prompt: str, function: str) -> list[str]:
    return _edited(measurement.writer, prompt, function, samples=SAMPLES, seed=measurement.seed)


SKILL = Skill(TASK, make_examples, measure)
