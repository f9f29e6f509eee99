r"""The figures of the paper: `python -m benchmarks.paper` writes docs/paper/figures.tex from `runs/*.json`.

A number of the text is `\axl{NAME}` and comes from `NUMBERS`, a table is `\axl{RUN-N}`, the N-th table of a result as its
benchmark shows it. A test holds the file to the results, so no figure of the paper is typed, and none grows old unseen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.result import ROOT, table_of
from multiscale_transformer import files

PAPER = ROOT / "docs" / "paper"
WATTS = 45.0  # assumed, of a whole laptop under load
PRICE = 0.30  # assumed, of a kilowatt-hour, in euro
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
)
COLUMNS = {  # of tables that are wider than a page, those that it shows
    "memory-0": (0, 1, 2, 5, 6, 7),
    "train-0": (0, 1, 2, 3, 4),
    "zoo-0": (0, 1, 3, 5, 6, 8),
    "code-0": (0, 1, 2, 3, 5, 6),
}
_SPECIAL = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
            "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
            "≤": r"$\le$", "≥": r"$\ge$", "±": r"$\pm$", "×": r"$\times$",
            "µ": r"$\mu$", "–": "--", "…": r"\ldots{}"}  # fmt: skip

Runs = Callable[[str], Any]


def _bits(run: Any, name: str) -> float:
    return float(mean(one["bits_per_byte"] for one in run["runs"] if one["name"] == name))


def _rate(run: Any, name: str) -> float:
    """Bytes a second of one request, at the better number of threads."""
    rows = [row for row in run["rows"] if row["load"] == "1 at once" and row["name"].startswith(name)]
    return float(max(median(row["rates"]) for row in rows))


def _euro(minutes: float) -> str:
    return f"{minutes / 60 * WATTS / 1000 * PRICE:.4f}"


NUMBERS: dict[str, Callable[[Runs], str]] = {
    "memory-with": lambda run: f"{_bits(run('memory'), 'flat with memory'):.3f}",
    "memory-without": lambda run: f"{_bits(run('memory'), 'flat alone'):.3f}",
    "memory-zpaq": lambda run: f"{run('memory')['baselines']['zpaq_primed']:.3f}",
    "memory-ratio": lambda run: f"{_bits(run('memory'), 'flat with memory') / run('memory')['baselines']['zpaq_primed']:.2f}",
    "memory-share": lambda run: f"{100 * mean(r['lookup_share'] for r in run('memory')['runs'] if r['lookup_share']):.0f}",
    "held-out": lambda run: f"{run('memory')['held_out_bytes'] / 1e6:.2f}",
    "train-flat": lambda run: f"{_bits(run('train'), 'flat'):.3f}",
    "train-scales": lambda run: f"{_bits(run('train'), 'three scales'):.3f}",
    "train-words": lambda run: f"{_bits(run('train'), 'words'):.3f}",
    "shipped-with": lambda run: f"{run('shipped')['library']['with_index']['bits_per_byte']:.3f}",
    "shipped-without": lambda run: f"{run('shipped')['library']['without_index']['bits_per_byte']:.3f}",
    "shipped-parameters": lambda run: f"{run('shipped')['library']['parameters'] / 1e6:.2f}",
    "shipped-zpaq": lambda run: f"{run('shipped')['library']['baselines']['zpaq_primed']:.3f}",
    "swap-none": lambda run: f"{run('shipped')['swap']['weights']['no index']:.3f}",
    "swap-project": lambda run: f"{run('shipped')['swap']['weights']['index of the project']:.3f}",
    "leak-scored": lambda run: f"{mean(run('random_bytes')['rules'][1]['scored']):.2f}",
    "leak-written": lambda run: f"{mean(run('random_bytes')['rules'][1]['written']):,.0f}",
    "honest-scored": lambda run: f"{mean(run('random_bytes')['rules'][0]['scored']):.2f}",
    "decode-four": lambda run: f"{_rate(run('decode'), 'axl 4 bits') / _rate(run('decode'), 'llama.cpp Q4_K_M'):.1f}",
    "decode-eager": lambda run: f"{_rate(run('decode'), 'axl 4 bits') / _rate(run('decode'), 'PyTorch eager'):.0f}",
    "bpe-bytes": lambda run: f"{next(r for r in run('bpe')['rows'] if not r['merges'])['bits_per_byte']:.3f}",
    "bpe-best": lambda run: f"{min(r['bits_per_byte'] for r in run('bpe')['rows'] if r['merges']):.3f}",
    "mbpp-translated": lambda run: f"{run('skills')['mbpp']['translated']}",
    "mbpp-right": lambda run: f"{run('skills')['mbpp']['right']}",
    "mbpp-wrong": lambda run: f"{run('skills')['mbpp']['wrong']}",
    "sandbox-tried": lambda run: f"{run('sandbox')['rows'][0]['tried']}",
    "sandbox-out": lambda run: f"{len(run('sandbox')['rows'][0]['escaped'])}",
    "guard-out": lambda run: f"{len(run('sandbox')['rows'][2]['escaped'])}",
    "watts": lambda run: f"{WATTS:.0f}",
    "price": lambda run: f"{PRICE:.2f}",
    "euro-three": lambda run: _euro(3),
    "euro-hour": lambda run: _euro(60),
}


def main() -> None:
    """Write the file."""
    files.write_text(PAPER / "figures.tex", figures())


def figures(runs: Path = ROOT / "runs") -> str:
    """The definitions. Raises AxlError when a result is missing."""
    read = lambda kind: json.loads((runs / f"bench-{kind}.json").read_bytes())  # noqa: E731
    lines = ["% Written by python -m benchmarks.paper from runs/*.json."]
    lines += [rf"\axldef{{{name}}}{{{_escaped(number(read))}}}" for name, number in NUMBERS.items()]
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
