"""ruff as a teacher and as a verifier: what it finds in Python texts, and what its fixes make of them.

A pair is one finding's fix within one function. It is kept where both sides parse, the syntax trees differ, the finding is gone
and nothing new is found. ruff scores 100 % on pairs that it made itself, and every table of them says so.
"""

from __future__ import annotations

import ast
import io
import json
import subprocess
import tempfile
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.source_text import SourceText, first_line, parsed

# Rules about what code does and how it says it; not about layout, names, imports, annotations or docstrings.
RULES = "B,C4,E7,F5,F6,F8,FLY,FURB,ISC,LOG,PERF,PIE,PLC0208,PLC2801,PLR1,PLR17,PLR5,PLW,PT,RET,RSE,RUF,SIM,UP,E71"
IGNORED = "RUF001,RUF002,RUF003,RUF012,RUF100,B904,PLW0603,PLW2901,UP009,UP015,F821,F811,F822"
MAX_FUNCTION = 1000  # bytes: longer ones leave a small model no context
_SECONDS = 600


@dataclass(frozen=True)
class Finding:
    """What ruff says of a text: the rule, the line, in which file, and what its fix changes, where it has one.

    `edits` are characters from, to, and what they become; `safe` fixes are those that ruff says keep what the code does.
    """

    name: str
    rule: str
    line: int
    message: str
    text: str = field(repr=False)
    edits: tuple[tuple[int, int, str], ...] = ()
    safe: bool = False

    @property
    def fixed(self) -> str | None:
        """The whole text with the fix; made when it is asked for, as a file has many findings."""
        return self.applied_within(0, len(self.text)) if self.edits else None

    def applied_within(self, first: int, last: int) -> str:
        """What the fix makes of the characters `first` to `last`, between which its edits lie."""
        text = self.text[first:last]
        for begin, end, content in sorted(self.edits, reverse=True):
            text = text[: begin - first] + content + text[end - first :]
        return text


@dataclass(frozen=True)
class Pair:
    """A function before and after one fix."""

    rule: str
    before: str
    after: str
    line: int


def lint(texts: dict[str, str], *, rules: str = RULES) -> list[Finding]:
    """All findings in Python texts by name. Raises AxlError where ruff is not installed or fails."""
    with tempfile.TemporaryDirectory() as scratch:
        names = {}
        for number, (name, text) in enumerate(texts.items()):
            path = Path(scratch) / f"{number:06d}.py"
            path.write_bytes(text.encode())
            names[path.name] = name
        found = _run(scratch, rules)
    return [
        Finding(name, row["code"], row["location"]["row"], row["message"], texts[name], *_fix(texts[name], row["fix"]))
        for row in found
        if row["code"] is not None
        for name in [names[Path(row["filename"]).name]]
    ]


def _run(folder: str, rules: str) -> list[dict]:  # type: ignore[type-arg]
    words = ["check", "--isolated", "--no-cache", "--exit-zero", "--output-format", "json", "--unsafe-fixes", "--preview"]
    words += ["--select", rules, "--ignore", IGNORED, "--target-version", "py311", folder]
    try:
        ran = subprocess.run([_ruff(), *words], check=True, capture_output=True, timeout=_SECONDS)
        rows: list[dict] = json.loads(ran.stdout)  # type: ignore[type-arg]
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise AxlError(f"ruff does not run ({error})") from None
    return rows


def _ruff() -> str:
    try:
        from ruff.__main__ import find_ruff_bin
    except ImportError:
        raise AxlError("this skill needs ruff: pip install 'axl[skills]'") from None
    return str(find_ruff_bin())


def _fix(text: str, fix: dict | None) -> tuple[tuple[tuple[int, int, str], ...], bool]:  # type: ignore[type-arg]
    """The edits of a fix by characters, and whether it is a safe one; ruff counts lines and characters from 1."""
    if fix is None or fix["applicability"] == "display":
        return (), False
    starts = [0]
    for line in io.StringIO(text, newline="").readlines():  # lines end as ruff counts them: not at form feeds
        starts.append(starts[-1] + len(line))
    edits = []
    for edit in fix["edits"]:
        begin, end = (starts[place["row"] - 1] + place["column"] - 1 for place in (edit["location"], edit["end_location"]))
        edits.append((begin, end, edit["content"]))
    return tuple(edits), fix["applicability"] == "safe"


def pairs_in(texts: dict[str, str]) -> Iterator[tuple[str, Pair]]:
    """Pairs of function texts, with the name of the text that each stands in: checked as the module says."""
    candidates: list[tuple[str, Pair]] = []
    functions: dict[str, list[_Place]] = {}
    for finding in lint(texts):
        if finding.edits:
            if finding.name not in functions:
                functions[finding.name] = list(_functions(texts[finding.name]))
            pair = _within_function(texts[finding.name], functions[finding.name], finding)
            if pair is not None:
                candidates.append((finding.name, pair))
    befores = rules_of([pair.before for _, pair in candidates])
    afters = rules_of([pair.after for _, pair in candidates])
    for (name, pair), before, after in zip(candidates, befores, afters, strict=True):
        if after[pair.rule] < before[pair.rule] and not after - before:
            yield name, pair


def findings_of(functions: Sequence[str]) -> list[list[Finding]]:
    """What ruff finds in each function, taken by itself."""
    found: list[list[Finding]] = [[] for _ in functions]
    for finding in lint({str(number): textwrap.dedent(text) for number, text in enumerate(functions)}):
        found[int(finding.name)].append(finding)
    return found


def rules_of(functions: Sequence[str]) -> list[Counter[str]]:
    """How often each rule finds something in each function, taken by itself."""
    return [Counter(finding.rule for finding in found) for found in findings_of(functions)]


@dataclass(frozen=True)
class _Place:
    """A function in a text: its first and last line, and where it begins and ends."""

    first: int
    last: int
    begin: int
    end: int


def _functions(text: str) -> Iterator[_Place]:
    try:
        source = SourceText(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in source.functions():
        first = first_line(node)
        yield _Place(first, node.end_lineno or node.lineno, source.offset(first, 0), source.span(node)[1])


def _within_function(text: str, functions: Sequence[_Place], finding: Finding) -> Pair | None:
    """The smallest function around a finding before and after its fix; None where the fix reaches beyond it, or changes nothing
    of its syntax tree."""
    around = [place for place in functions if place.first <= finding.line <= place.last]
    if not around or not finding.edits:
        return None
    place = max(around, key=lambda one: one.first)
    if any(begin < place.begin or end > place.end for begin, end, _ in finding.edits):
        return None
    before = text[place.begin : place.end]
    if len(before.encode()) > MAX_FUNCTION:
        return None
    after = finding.applied_within(place.begin, place.end)
    if not same_function(before, after, or_changed=True):
        return None
    return Pair(finding.rule, before, after, finding.line - place.first + 1)


def same_function(before: str, after: str, *, or_changed: bool = False) -> bool:
    """Whether two texts are one function each, of the same name, and whether their syntax trees are the same (or differ)."""
    try:
        old, new = parsed(textwrap.dedent(before)), parsed(textwrap.dedent(after))
    except (SyntaxError, ValueError, RecursionError):
        return False
    if [getattr(node, "name", "") for node in old.body] != [getattr(node, "name", "") for node in new.body]:
        return False
    return (ast.dump(old) != ast.dump(new)) == or_changed
