"""Programs with a bug and a test that sees it: made from checked programs by one small edit, and kept where a test fails.

A checked program is a module with tests that it passes. MBPP gives 974 of them (Austin et al. 2021, arXiv 2108.07732): ids 601
to 974 are to learn from, 511 to 600 to choose by, 11 to 510 to measure with, as published.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from multiscale_transformer.errors import AxlError
from multiscale_transformer.sandbox.limits import Limits
from multiscale_transformer.sandbox.run import Sandbox
from multiscale_transformer.tasks.observe import Observation, Observed, observe
from multiscale_transformer.tasks.operators import edits_of
from multiscale_transformer.tasks.package_texts import PackageText
from multiscale_transformer.tasks.source_text import Edit, SourceText

MBPP_LEARN, MBPP_CHOOSE, MBPP_MEASURE = range(601, 975), range(511, 601), range(11, 511)
MBPP_MARK = "-"  # between the name of the benchmark and the number of a task
LIMITS = Limits(seconds=1.0, cpu_seconds=1, memory_mb=512)  # of a program whose tests are over in milliseconds


class Checked(BaseModel):
    """A module and statements that test it, and whose they are."""

    model_config = ConfigDict(frozen=True)

    name: str
    code: str
    tests: tuple[str, ...]
    setup: str = ""
    licence: str = ""


class Bug(BaseModel):
    """A checked program with one edit too many: `code` is the broken text, `broken` the edit that broke it, `failure` the
    first test that sees it."""

    model_config = ConfigDict(frozen=True)

    checked: Checked
    code: str
    operator: str
    line: int
    failure: Observed


def load_mbpp(path: Path, ids: Iterable[int]) -> list[Checked]:
    """The tasks of `mbpp.jsonl` with these ids. Raises AxlError for a file that is not one."""
    wanted = set(ids)
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [
            Checked(
                name=f"mbpp/{row['task_id']}",
                code=row["code"].replace("\r\n", "\n").expandtabs(4),
                tests=tuple(row["test_list"]),
                setup=row["test_setup_code"],
                licence="CC-BY-4.0",
            )
            for row in rows
            if row["task_id"] in wanted
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AxlError(f"{path} is no mbpp.jsonl ({error}); give the file of google-research/mbpp") from error


def mbpp_texts(path: Path) -> Iterator[PackageText]:
    """The tasks of MBPP to learn from with their assertions, as texts of which each counts as a package."""
    for checked in load_mbpp(path, MBPP_LEARN):
        text = "\n".join([checked.setup, checked.code, *checked.tests])
        yield PackageText(checked.name.replace("/", MBPP_MARK), checked.licence, f"{checked.name}.py", text)


def from_mbpp(package: str) -> bool:
    """Whether a package is one of `mbpp_texts`: what is to be learnt from of a benchmark is no copy of its test."""
    return package.startswith(f"mbpp{MBPP_MARK}")


def bugs_of(sandbox: Sandbox, programs: Iterable[Checked], *, each: int, seed: int = 0) -> Iterator[Bug]:
    """Up to `each` bugs of every program, of as many kinds as possible, in an order that the names and the seed decide.

    Programs that do not pass their own tests have none.
    """
    for checked in programs:
        try:
            source = SourceText(checked.code)
        except (SyntaxError, ValueError, RecursionError):
            continue
        if not _check(sandbox, checked, checked.code).passed:
            continue
        found = 0
        for edit in _one_of_each_kind(edits_of(source), f"{seed}/{checked.name}"):
            if found == each:
                break
            code = edit.apply(checked.code)
            observation = _check(sandbox, checked, code)
            if not observation.passed:
                found += 1
                yield Bug(checked=checked, code=code, operator=edit.operator, line=edit.line, failure=observation.failure)


def fixes(sandbox: Sandbox, bug: Bug, code: str) -> bool:
    """Whether a text passes all tests of the program that `bug` broke."""
    checked = bug.checked
    return observe(sandbox, code, checked.tests, setup=checked.setup, limits=LIMITS, trace=False, first=True).passed


def _check(sandbox: Sandbox, checked: Checked, code: str) -> Observation:
    return observe(sandbox, code, checked.tests, setup=checked.setup, limits=LIMITS)


def _one_of_each_kind(edits: list[Edit], key: str) -> Iterator[Edit]:
    """All edits, shuffled; one of each operator before the second of any: names alone are half of all edits."""
    rng = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    by_operator: dict[str, list[Edit]] = {}
    for edit in rng.sample(edits, len(edits)):
        by_operator.setdefault(edit.operator, []).append(edit)
    while by_operator:
        for operator in rng.sample(sorted(by_operator), len(by_operator)):
            yield by_operator[operator].pop()
            if not by_operator[operator]:
                del by_operator[operator]
