"""The skill secure: a function in, whether it is unsafe and the edit that makes it safe out.

Rules propose (`tasks.secure.rules`), a logit with a language model's opinion among its features decides whether anything and
which repair is needed (`tasks.secure.order`), and parser, rules and linter verify it (`tasks.secure.check`). Examples are real
functions in which a rule made one safe place unsafe, and as many untouched ones: some with the safe places still safe, most
with places that look unsafe and that nobody made so.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from multiscale_transformer.tasks.edit_format import applied, hunks_between, read_hunks, written
from multiscale_transformer.tasks.examples import Example, Split, capped, split_of
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.secure.check import bandit_findings, no_new_findings, ruff_findings, same_code, verified
from multiscale_transformer.tasks.secure.code import Code
from multiscale_transformer.tasks.secure.order import Judged, judge, load_weights
from multiscale_transformer.tasks.secure.rules import injections, repairs, rule_of
from multiscale_transformer.tasks.skill import Figures, Measurement, Skill
from multiscale_transformer.tasks.source_text import Edit, SourceText

TASK = "secure"
CLEAN = "clean"  # the rule of functions that nobody made unsafe
MAX_OF_RULE, MAX_OF_PACKAGE = 250, 300
MAX_FUNCTION = 1500  # bytes: with the lines of the edit it fits the context of a small model
ORIGINALS, LOOK_ALIKES = 0.35, 0.5  # shares of the clean ones: with safe places, and with places that look unsafe
ORIGINAL = 0.25  # share of the functions with safe places that stay as they are
UNTOUCHED = 0.25  # share of the others that are looked at: there are many more than are needed
_TRIED = 3  # faults of a rule in a function
_CHECKED = 8  # candidates that are verified until one passes
_SAFE = re.compile(
    r"sha256|sha512|secrets\.|urandom|SystemRandom|uuid4|safe_load|SafeLoader|create_default_context|CERT_REQUIRED|literal_eval|"
    r"json\.load|mkdtemp|mkstemp|escape\(|quote|basename|secure_filename|compare_digest|timeout=|filter=|subprocess|"
    r"check_output|check_call|Popen|execute\(|127\.0\.0\.1|localhost|https://|0o[67]|verify|allow_pickle|weights_only|httponly"
)


class _Function(NamedTuple):
    """A function of a package, its lines without the indentation that they share."""

    origin: PackageText
    text: str


def make_examples(texts: Iterable[PackageText]) -> list[Example]:
    """Examples of all texts, capped by rule and package: as many clean functions in each split as unsafe ones."""
    unsafe: list[Example] = []
    clean: dict[str, list[Example]] = {"originals": [], "look-alikes": [], "others": []}
    for function in _functions(texts):
        rng = random.Random(function.text)
        try:
            code = Code(function.text)
            fault = _fault(code, rng)
        except (SyntaxError, ValueError, RecursionError):
            continue
        if fault is not None and rng.random() >= ORIGINAL:
            unsafe.append(_example(function, fault.apply(function.text), rule_of(fault)))
        elif fault is not None or rng.random() < UNTOUCHED:
            kind = "originals" if fault else "look-alikes" if repairs(code) else "others"
            clean[kind].append(_example(function, function.text, CLEAN))
    kept = capped(unsafe, rule=MAX_OF_RULE, package=MAX_OF_PACKAGE)
    return kept + _as_many(clean, kept)


def _fault(code: Code, rng: random.Random) -> Edit | None:
    """A fault of a rule that is drawn first, of which the rules propose the repair; None where there is none."""
    found: dict[str, list[Edit]] = defaultdict(list)
    for edit in injections(code):
        found[rule_of(edit)].append(edit)
    for rule in rng.sample(sorted(found), len(found)):
        for edit in rng.sample(found[rule], min(_TRIED, len(found[rule]))):
            if _is_repairable(code.text, edit):
                return edit
    return None


def _is_repairable(original: str, edit: Edit) -> bool:
    unsafe = edit.apply(original)
    near = [repair for repair in repairs(Code(unsafe)) if rule_of(repair) == rule_of(edit)]
    if any(repair.apply(unsafe) == original for repair in near):
        return True
    return any(same_code(repair.apply(unsafe), original) for repair in near if repair.line == edit.line)


def _as_many(clean: dict[str, list[Example]], unsafe: Sequence[Example]) -> list[Example]:
    """Clean examples for each split, in the shares of their kinds and from many packages."""
    wanted: dict[Split, int] = defaultdict(int)
    for example in unsafe:
        wanted[split_of(example.package)] += 1
    kept = []
    shares = {"originals": ORIGINALS, "look-alikes": LOOK_ALIKES, "others": 1 - ORIGINALS - LOOK_ALIKES}
    for kind, examples in clean.items():
        for split, number in wanted.items():
            most = round(number * shares[kind])
            of_split = [example for example in examples if split_of(example.package) == split]
            drawn = random.Random(split).sample(sorted(of_split, key=lambda one: one.digest), min(4 * most, len(of_split)))
            many = capped(drawn, rule=4 * most, package=max(3, most // 5))
            kept += random.Random(split).sample(many, min(most, len(many)))  # `capped` alone would keep the lowest digests
    return kept


def _example(function: _Function, prompt: str, rule: str) -> Example:
    origin, answer = function.origin, written(hunks_between(prompt, function.text))
    return Example(
        task=TASK, prompt=prompt, answer=answer, package=origin.package, origin=origin.name, rule=rule, licence=origin.licence
    )


def _functions(texts: Iterable[PackageText]) -> Iterator[_Function]:
    """All functions with a word of a rule in them, and some of the others, each once."""
    seen: set[int] = set()
    for text in texts:
        rng = random.Random(f"{text.package} {text.name}")
        if _SAFE.search(text.text) is None and rng.random() > 0.1:
            continue
        try:
            source = SourceText(text.text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        for node in source.functions():
            begin, end = source.whole_lines(node)
            function = flush(text.text[begin:end])
            if function is None or not function.count("\n") >= 2 or len(function.encode()) > MAX_FUNCTION:
                continue
            if (_SAFE.search(function) or rng.random() < 0.1) and hash(function) not in seen:
                seen.add(hash(function))
                yield _Function(text, function)


def flush(function: str) -> str | None:
    """The lines of a function without the indentation of the first; None where a line of it has less."""
    depth = len(function) - len(function.lstrip(" \t"))
    indentation, lines = function[:depth], function.split("\n")
    if any(line.strip() and not line.startswith(indentation) for line in lines):
        return None
    return "\n".join(line[depth:] if line.strip() else line for line in lines)


def best_verified(function: str, judged: Judged) -> Edit | None:
    """The likeliest repair that is verified; None where the function is not called unsafe, or none passes.

    Raises AxlError where ruff is not installed.
    """
    if not judged.unsafe:
        return None
    passed = [edit for edit in judged.edits[:_CHECKED] if verified(function, edit)]
    clean = no_new_findings(function, [edit.apply(function) for edit in passed]) if passed else []
    return next((edit for edit, is_clean in zip(passed, clean, strict=True) if is_clean), None)


def measure(measurement: Measurement) -> Figures:
    """How many unsafe functions are found and repaired, and how many clean ones are suspected."""
    test, weights = measurement.examples("test"), load_weights()
    functions, unsafe = [example.prompt for example in test], [example.rule != CLEAN for example in test]
    judged = [judge(function, weights, measurement.gains) for function in functions]
    alone = [judge(function, weights) for function in functions]
    rivals = {
        "without the model": _figures(test, alone),
        "every place that a rule names": _detection(unsafe, [bool(one.edits) for one in alone]),
        "ruff S": _detection(unsafe, [bool(found) for found in ruff_findings(functions)]),
    }
    bandit = bandit_findings(functions)
    if bandit is not None:
        rivals["bandit"] = _detection(unsafe, [bool(found) for found in bandit])
    return Figures(
        skill=TASK,
        examples=len(test),
        packages=len({example.package for example in test}),
        figures=_figures(test, judged),
        rivals=rivals,
        notes=("fixed: the first verified proposal has the syntax tree of the original, of all unsafe functions",),
    )


def _figures(test: Sequence[Example], judged: Sequence[Judged]) -> dict[str, float]:
    unsafe = [example.rule != CLEAN for example in test]
    fixed = 0
    for example, one in zip(test, judged, strict=True):
        edit = best_verified(example.prompt, one) if example.rule != CLEAN else None
        original = applied(example.prompt, read_hunks(example.answer) or [])
        fixed += edit is not None and original is not None and same_code(edit.apply(example.prompt), original)
    return {**_detection(unsafe, [one.unsafe for one in judged]), "fixed": fixed / max(1, sum(unsafe))}


def _detection(unsafe: Sequence[bool], flagged: Sequence[bool]) -> dict[str, float]:
    """F1, precision and recall of calling functions unsafe, and false alarms of 1,000 clean functions."""
    right = sum(one and other for one, other in zip(unsafe, flagged, strict=True))
    precision, recall = right / max(1, sum(flagged)), right / max(1, sum(unsafe))
    false = sum(flagged) - right
    return {
        "F1": 2 * precision * recall / max(1e-9, precision + recall),
        "precision": precision,
        "recall": recall,
        "false alarms per 1,000 clean": 1000 * false / max(1, len(unsafe) - sum(unsafe)),
    }


SKILL = Skill(TASK, make_examples, measure)
