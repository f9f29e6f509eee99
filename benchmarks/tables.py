"""Figures in the documents come from `runs/*.json`, never from a keyboard.

A document marks a place with `<!-- figures: NAME -->` and `<!-- end -->`; `write_tables` puts the table of `runs/NAME.json`
between them. A test holds the documents to the files, so a figure cannot grow old unseen.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import engine_tables
from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.statistics import summary, verdict

_BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PEERS = {"xz": "xz -9e", "ppmd": "PPMd, order 8", "ppmd_primed": "PPMd primed with the training files"}
BASELINES = ("flat", "flat with memory")  # what the others of a contest are judged against
Rows = list[dict[str, Any]]
_BY_KEY: dict[str, Callable[[dict[str, Any]], str]] = {
    "bytes_per_second": engine_tables.decoding,
    "serving": engine_tables.serving,
    "library": engine_tables.shipped,
    "exported": engine_tables.exported,
    "growth": engine_tables.growth,
    "busy": engine_tables.busy,
}


def write_tables(documents: Iterable[Path], runs: Path) -> list[Path]:
    """Fill the marked places of `documents` from the JSON files in `runs`; returns the documents that changed."""
    changed = []
    for path in documents:
        before = path.read_text(encoding="utf-8")
        after = filled(before, runs)
        if after != before:
            files.write_text(path, after)
            changed.append(path)
    return changed


def filled(text: str, runs: Path) -> str:
    """`text` with all marked places filled. Raises AxlError when a file is missing."""
    return _BLOCK.sub(lambda match: match[1] + table(runs / f"{match[2]}.json") + match[3], text)


def table(path: Path) -> str:
    """The Markdown table of one result file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AxlError(f"cannot read {path} ({error}); run the benchmark that writes it") from error
    if "share" in content:
        return _utilisation(content)
    for key, of_key in _BY_KEY.items():
        if key in content:
            return of_key(content)
    if "exploration" in content:
        return _exploration(content["exploration"])
    if "memory" in content:
        return _contest(content, _memory_columns(content)) + _unseen(content) + _looking_up(content["memory"])
    columns = _OPTIMIZER_COLUMNS if path.stem.startswith("bench-optimizers") else _CONTEST_COLUMNS
    return _contest(content, columns)


def _contest(content: dict[str, Any], columns: dict[str, Callable[[Rows], str]]) -> str:
    runs: Rows = content["runs"]
    names = dict.fromkeys(row["name"] for row in runs)
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for name in names:
        mine = [row for row in runs if row["name"] == name]
        lines.append(f"| {name} | " + " | ".join(cell(mine) for cell in columns.values()) + " |")
    for peer, bits in content.get("peers", {}).items():
        lines.append(f"| {PEERS[peer]} | {bits:.3f} |" + " |" * (len(columns) - 1))
    bits = {name: [row["bits_per_byte"] for row in runs if row["name"] == name] for name in names}
    baseline = next((name for name in BASELINES if name in bits), None)
    conclusion = "".join(
        "\n" + verdict(name.capitalize(), bits[name], baseline, bits[baseline]) + ".\n"
        for name in names
        if baseline is not None and name != baseline
    )
    return "\n".join(lines) + "\n" + conclusion + _where(content)


def _memory_columns(content: dict[str, Any]) -> dict[str, Callable[[Rows], str]]:
    primed = content["peers"]["ppmd_primed"]
    return {
        "held-out bits per byte": _bits,
        "of PPMd primed": lambda rows: f"{_mean(rows, 'bits_per_byte') / primed:.2f}",
        "next line exact": lambda rows: f"{_mean(rows, 'lines_exact'):.1%}",
        "next line similar": lambda rows: f"{_mean(rows, 'lines_similarity'):.1%}",
        "parameters": lambda rows: f"{rows[0]['parameters']:,}",
        "MB read": lambda rows: f"{_mean(rows, 'bytes_read') / 1e6:.1f}",
        "looking up": lambda rows: f"{_mean(rows, 'lookup_share'):.0%} of the time",
    }


def _unseen(content: dict[str, Any]) -> str:
    """Bits per byte of packages that neither training nor index has seen."""
    packages, peers = list(content["unseen_peers"]), ("ppmd", "ppmd_primed")
    head = "| a package that neither training nor index has seen | "
    lines = ["", head + " | ".join(packages) + " |", "|---|" + "---:|" * len(packages)]
    for name in dict.fromkeys(row["name"] for row in content["runs"]):
        mine = [row["unseen"] for row in content["runs"] if row["name"] == name]
        lines.append(f"| {name} | " + " | ".join(summary([row[package] for row in mine]) for package in packages) + " |")
        read = [row["unseen_in_order"] for row in content["runs"] if row["name"] == name and row.get("unseen_in_order")]
        if read:
            cells = (summary([row[package] for row in read]) for package in packages)
            lines.append(f"| {name}, files before indexed | " + " | ".join(cells) + " |")
    for peer in peers:
        bits = (content["unseen_peers"][package][peer] for package in packages)
        lines.append(f"| {PEERS[peer]} | " + " | ".join(f"{figure:.3f}" for figure in bits) + " |")
    return "\n".join(lines) + "\n"


def _looking_up(memory: dict[str, Any]) -> str:
    return (
        f"\nOn one core, an index of {memory['corpus_bytes'] / 1e6:.1f} MB takes {memory['index_seconds']:.1f} s to build and "
        f"{memory['index_bytes'] / memory['corpus_bytes']:.2f} bytes on disk for each byte of text; a look-up of all sources "
        f"takes {memory['batch_microseconds']:.1f} µs a position in a batch and {memory['single_microseconds']:.0f} µs alone.\n"
    )


def _exploration(rows: Rows) -> str:
    columns = ("bits per byte", "shape", "parameters", "window", "batch", "minutes", "MB read", "note")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        cells = (
            f"{row['bits_per_byte']:.3f}",
            row["shape"],
            f"{row['parameters']:,}",
            row["window"],
            f"{row['batch']:,}",
            f"{row['minutes']:g}",
            f"{row['mb_read']:.1f}",
            row["note"],
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _where(content: dict[str, Any]) -> str:
    first = content["runs"][0]
    return (
        f"\n{first['minutes']:g} minutes a run, {first['threads']} threads, {content['held_out_bytes']:,} held-out bytes; "
        f"measured {min(row['when'] for row in content['runs'])[:10]}.\n"
    )


def _utilisation(content: dict[str, Any]) -> str:
    low, high = content["share_quartiles"]
    return (
        f"{content['model']} trains with {content['optimizer']} at **{content['share']:.0%}** of this machine's "
        f"{content['dtype']} matrix-product rate (median of {content['rounds']} rounds on {content['threads']} threads, "
        f"quartiles {low:.0%} and {high:.0%}).\n"
    )


def _mean(rows: Rows, key: str) -> float:
    return statistics.fmean(row[key] for row in rows)


def _to_mark(rows: Rows) -> str:
    reached = [row["steps_to_mark"] for row in rows if row["steps_to_mark"] is not None]
    return f"{sum(reached) / len(reached):,.0f}" if len(reached) == len(rows) else "never"


def _bits(rows: Rows) -> str:
    return summary([row["bits_per_byte"] for row in rows])


_CONTEST_COLUMNS: dict[str, Callable[[Rows], str]] = {
    "held-out bits per byte": _bits,
    "parameters": lambda rows: f"{rows[0]['parameters']:,}",
    "MB read": lambda rows: f"{_mean(rows, 'bytes_read') / 1e6:.1f}",
    "steps": lambda rows: f"{_mean(rows, 'steps'):,.0f}",
    "share of the matmul rate": lambda rows: (
        f"{sum(row['flops_per_second'] / row['matmul_flops_per_second'] for row in rows) / len(rows):.0%}"
    ),
}
_OPTIMIZER_COLUMNS: dict[str, Callable[[Rows], str]] = {
    "held-out bits per byte": _bits,
    "learning rate": lambda rows: f"{rows[0]['learning_rate']:.2g}",
    "steps": lambda rows: f"{_mean(rows, 'steps'):,.0f}",
    "steps to 2.5 bits in training": _to_mark,
    "state, bytes a parameter": lambda rows: f"{rows[0]['optimizer_state_bytes'] / rows[0]['parameters']:.1f}",
}
