r"""The figures of the paper: `python -m benchmarks.paper` writes docs/paper/figures.tex from `runs/*.json`.

A number of the text is `\axl{NAME}` and comes from `benchmarks.numbers`; a table is `\axl{RUN-N}`, the N-th of a result as
its benchmark shows it. A test holds the file to the results, so no figure of the paper is typed, and none grows old unseen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.numbers import NUMBERS, number
from benchmarks.result import ROOT, table_of
from multiscale_transformer import files

PAPER = ROOT / "docs" / "paper"
TABLES = (
    "train",
    "memory",
    "shipped",
    "decode",
    "zoo",
    "bpe",
    "random_bytes",
    "code",
    "skills",
    "local_sgd",
    "optimizers",
    "mesh",
    "vision",
)
COLUMNS = {  # of tables that are wider than a page, those that it shows
    "memory-0": (0, 1, 2, 5, 6, 7),
    "train-0": (0, 1, 2, 3, 4),
    "zoo-0": (0, 1, 2, 3, 5),
    "code-0": (0, 1, 2, 3, 5, 6),
    "vision-0": (0, 1, 2, 3),
}
_SPECIAL = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
            "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
            "≤": r"$\le$", "≥": r"$\ge$", "±": r"$\pm$", "×": r"$\times$",
            "µ": r"$\mu$", "–": "--", "…": r"\ldots{}"}  # fmt: skip


def main() -> None:
    """Write the file."""
    files.write_text(PAPER / "figures.tex", figures())


def figures(runs: Path = ROOT / "runs") -> str:
    """The definitions. Raises AxlError when a result is missing."""
    lines = ["% Written by python -m benchmarks.paper from runs/*.json."]
    lines += [rf"\axldef{{{name}}}{{{_escaped(number(name, runs))}}}" for name in NUMBERS]
    for kind in TABLES:
        for index, table in enumerate(_tables(table_of(runs / f"bench-{kind}.json"))):
            name = f"{kind.replace('_', '-')}-{index}"
            lines.append(rf"\axldef{{{name}}}{{{_tabular(table, COLUMNS.get(name))}}}")
    return "\n".join(lines) + "\n"


def _tables(markdown: str) -> list[str]:
    """The tables of a page."""
    return re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)


def _tabular(table: str, columns: Sequence[int] | None) -> str:
    """A table, or some of its columns, as a tabular."""
    rows = [_cells(line) for line in table.splitlines()]
    shown = range(len(rows[0])) if columns is None else columns
    head, places, *body = [[row[column] for column in shown] for row in rows]
    begin = "".join("r" if place.endswith(":") else "l" for place in places)
    parts = [" & ".join(map(_text, row)) + r" \\" for row in (head, *body)]
    lines = [rf"\begin{{tabular}}{{{begin}}}", r"\toprule", parts[0], r"\midrule", *parts[1:], r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _text(cell: str) -> str:
    return re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", _escaped(cell))


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


if __name__ == "__main__":
    main()
