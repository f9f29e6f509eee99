"""Edits that people made between two releases of a package, and what refactor proposes for the same findings.

The pairs of `axl data make refactor` are of ruff's making. Here ruff only says where something is to be found: a function of an
old wheel has a finding that the same function of a newer wheel has no longer, with few other lines changed. A proposal is as
the person's when each line that it takes away or brings is one that the person took away or brought. ruff's own fix, which is
right about the other pairs by construction, is a rival like any other here.

`--wheels` is a folder with two wheels of each package, as `pip download --no-deps` puts them there; docs/skills.md has a list.
"""

from __future__ import annotations

import ast
import textwrap
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import Version

from benchmarks.command import main as run_command
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import folder
from multiscale_transformer.engine.session import open_scheduler
from multiscale_transformer.errors import AxlError
from multiscale_transformer.tasks.lint import MAX_FUNCTION, Finding, findings_of
from multiscale_transformer.tasks.refactor import SAMPLES, propose, remembered, verify
from multiscale_transformer.tasks.source_text import SourceText, parsed, parses, qualified_functions
from multiscale_transformer.tasks.writer import Writer

MAX_CHANGED = 6  # lines that a person took away or brought: more are another function
MAX_OF_RULE = 20  # findings of one rule in one package
LISTED = 20  # rules in the table

Functions = dict[tuple[str, str], str]  # by file and qualified name


class HumanEdit(NamedTuple):
    """A function before and after a person's edit, and the finding that went with it."""

    package: str
    before: str
    after: str
    finding: Finding


class RuleRow(Row):
    """The edits of one rule: how many, how many are as the person's by whom, and for how many anything was proposed."""

    rule: str
    edits: int
    proposed: dict[str, int]
    alike: dict[str, int]


class HumanEditsResult(Result):
    """All rules, those of most edits first; `releases` are old and new versions by package."""

    kind: Literal["human_edits"] = "human_edits"
    releases: dict[str, tuple[str, str]]
    rows: list[RuleRow]


def run(
    wheels: Annotated[Path, typer.Option(metavar="FOLDER", parser=folder, help="Two wheels of each package.")],
    model: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", parser=folder, help="A model trained for refactor, which then proposes as well."),
    ] = None,
) -> HumanEditsResult:
    """What refactor proposes where people mended a finding between two releases, beside ruff's own fixes."""
    found = pairs_of(wheels)
    if not found:
        raise AxlError(f"{wheels} holds no two wheels of one package")
    edits = [edit for package, (old, new) in found.items() for edit in human_edits(package, read(old[1]), read(new[1]))]
    if not edits:
        raise AxlError(f"between the wheels in {wheels} no finding went with a small edit")
    writer = Writer(open_scheduler(model)) if model is not None else None
    rows: dict[str, RuleRow] = {}
    for edit in edits:
        row = rows.setdefault(edit.finding.rule, RuleRow(rule=edit.finding.rule, edits=0, proposed={}, alike={}))
        row.edits += 1
        for who, after in proposals(writer, edit).items():
            row.proposed[who] = row.proposed.get(who, 0) + (after is not None)
            row.alike[who] = row.alike.get(who, 0) + (after is not None and as_the_person(edit, after))
    return HumanEditsResult(
        **origin("human_edits", None).model_dump(),
        releases={package: (str(old[0]), str(new[0])) for package, (old, new) in found.items()},
        rows=sorted(rows.values(), key=lambda row: (-row.edits, row.rule)),
    )


def pairs_of(wheels: Path) -> dict[str, tuple[tuple[Version, Path], tuple[Version, Path]]]:
    """The oldest and the newest wheel of each package that has two."""
    found: dict[str, list[tuple[Version, Path]]] = defaultdict(list)
    for path in wheels.glob("*.whl"):
        try:
            name, version, *_ = parse_wheel_filename(path.name)
        except InvalidWheelFilename as error:
            raise AxlError(f"{path} is no wheel ({error})") from None
        found[name].append((version, path))
    return {name: (min(each), max(each)) for name, each in sorted(found.items()) if len({version for version, _ in each}) > 1}


def read(wheel: Path) -> Functions:
    """All functions of a wheel that are not too long and can stand by themselves; of several with one name the last.

    Raises AxlError for what is no wheel.
    """
    functions: Functions = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(".py"):
                    functions |= {(name, path): text for path, text in _functions(archive.read(name))}
    except (OSError, zipfile.BadZipFile) as error:
        raise AxlError(f"{wheel} is no wheel ({error})") from None
    return functions


def _functions(content: bytes) -> Iterator[tuple[str, str]]:
    try:
        source = SourceText(content.decode())
    except (SyntaxError, ValueError, RecursionError):
        return
    for path, node in qualified_functions(source.tree):
        begin, end = source.whole_lines(node)
        text = source.text[begin:end]
        if len(text.encode()) <= MAX_FUNCTION and parses(textwrap.dedent(text)):
            yield path, text


def human_edits(package: str, old: Functions, new: Functions) -> list[HumanEdit]:
    """A finding of each rule in each function that a person changed a little, where the changed one has fewer of the rule."""
    changed = [
        (before, new[place])
        for place, before in sorted(old.items())
        if 0 < changes(before, new.get(place, before)) <= MAX_CHANGED
    ]
    found = findings_of([before for before, _ in changed])
    left = findings_of([after for _, after in changed])
    edits: list[HumanEdit] = []
    of_rule: Counter[str] = Counter()
    for (before, after), here, there in zip(changed, found, left, strict=True):
        counts = Counter(one.rule for one in here) - Counter(one.rule for one in there)
        lines, kept = before.split("\n"), {line.strip() for line in after.split("\n")}
        gone = {one.rule: one for one in reversed(here) if one.rule in counts and lines[one.line - 1].strip() not in kept}
        for rule, finding in sorted(gone.items()):
            of_rule[rule] += 1
            if of_rule[rule] <= MAX_OF_RULE:
                edits.append(HumanEdit(package, before, after, finding))
    return edits


def difference(before: str, after: str) -> tuple[Counter[str], Counter[str]]:
    """Lines that went and lines that came, as Python writes the syntax tree: layout and comments do not count."""
    old, new = (
        Counter(line.strip() for line in ast.unparse(parsed(textwrap.dedent(text))).split("\n")) for text in (before, after)
    )
    return old - new, new - old


def changes(before: str, after: str) -> int:
    """How many lines went or came."""
    return max(side.total() for side in difference(before, after)) if before != after else 0


def as_the_person(edit: HumanEdit, after: str) -> bool:
    """Whether a proposal changes something, and nothing that the person did not change in the same way."""
    went, came = difference(edit.before, after)
    return bool(went or came) and all(
        ours <= theirs for ours, theirs in zip((went, came), difference(edit.before, edit.after), strict=True)
    )


def proposals(writer: Writer | None, edit: HumanEdit) -> dict[str, str | None]:
    """What the memory of edits, and a model where there is one, propose first that verifies; and ruff's fix as it is."""
    line, rule = edit.finding.line, edit.finding.rule
    found = {"memory of edits": _first(edit.before, remembered(edit.before, line, rule)), "ruff": edit.finding.fixed}
    if writer is not None:
        found["model"] = _first(edit.before, propose(writer, edit.before, line, rule, samples=SAMPLES))
    return found


def _first(before: str, proposed: Sequence[str]) -> str | None:
    return next((one.after for one in verify(before, proposed)), None) if proposed else None


def table(result: HumanEditsResult) -> str:
    """A row for each of the most frequent rules, and their sum."""
    people = list(result.rows[0].alike) if result.rows else []
    head = " | ".join(f"{who}: as the person / proposed" for who in people)
    lines = [f"| rule | edits | {head} |", "|---|---:|" + "---:|" * len(people)]
    lines += [_row(row.rule, [row], people) for row in result.rows[:LISTED]]
    lines.append(_row("all rules", result.rows, people))
    releases = ", ".join(f"{package} {old} to {new}" for package, (old, new) in result.releases.items())
    return "\n".join([*lines, "", f"Releases: {releases}.", ""])


def _row(name: str, rows: Sequence[RuleRow], people: Sequence[str]) -> str:
    count = sum(row.edits for row in rows)
    cells = (
        f"{sum(row.alike[who] for row in rows) / count:.0%} / {sum(row.proposed[who] for row in rows) / count:.0%}"
        for who in people
    )
    return f"| {name} | {count} | {' | '.join(cells)} |"


RESULT = HumanEditsResult

if __name__ == "__main__":
    run_command("human_edits")
