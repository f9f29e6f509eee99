"""The report as one HTML page: result first, then the curves, then everything needed to judge or repeat the runs.

The page follows the reader's light or dark setting and may not load anything: its content security policy forbids it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import fmean
from typing import Any

from multiscale_transformer.training.report.drawing import DARK, LIGHT, Drawing, series_role
from multiscale_transformer.training.report.runs import PEERS, Run, Series, same_held_out, shared_peers
from multiscale_transformer.training.report.words import bits, count, duration, plain, words

_CSS = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
* { box-sizing: border-box }
body { margin: 0; background: var(--surface); color: var(--ink);
  font: 16px/1.55 Inter, system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums }
main { max-width: 1008px; margin: 0 auto; padding: 56px 24px 72px }
header p { margin: 0 }
.eyebrow { color: var(--muted); font-size: 14px }
h1 { font-size: 34px; line-height: 1.2; letter-spacing: -.015em; font-weight: 650; font-variant-numeric: normal;
  margin: 4px 0 12px; overflow-wrap: anywhere }
h2 { font-size: 15px; line-height: 24px; font-weight: 600; margin: 0 0 8px }
section { margin-top: 48px }
.lead { font-size: 19px; max-width: 46em; text-wrap: pretty }
.note { color: var(--muted); font-size: 14px; margin: 8px 0 0; max-width: 60em }
.facts { display: flex; flex-wrap: wrap; gap: 20px 56px; margin: 32px 0 0 }
.facts div { display: flex; flex-direction: column-reverse }
.facts dd { font-size: 26px; line-height: 1.25; font-weight: 600; letter-spacing: -.01em; margin: 0;
  font-variant-numeric: normal }
dt { color: var(--muted); font-size: 14px }
.scroll { overflow-x: auto }
.chart svg { display: block; width: 100%; min-width: 720px; height: auto }
.chart svg * { stroke-linejoin: round }
.chart text { font-family: inherit !important }
table { border-collapse: collapse; width: 100%; font-size: 14px; line-height: 20px }
th { color: var(--muted); font-weight: 400; text-align: left; vertical-align: bottom }
th, td { padding: 7px 0 7px 16px; border-bottom: 1px solid var(--grid); white-space: nowrap }
thead th { border-bottom-color: var(--muted) }
tr > :first-child { padding-left: 0 }
tbody th { color: var(--ink); white-space: normal; min-width: 13em; overflow-wrap: anywhere }
.number { text-align: right }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 8px }
.pairs { display: grid; grid-template-columns: minmax(9em, max-content) 1fr; gap: 4px 24px; margin: 0; font-size: 14px }
.pairs dd { margin: 0; overflow-wrap: anywhere }
h3 { font-size: 14px; font-weight: 400; color: var(--muted); margin: 24px 0 8px }
footer { margin-top: 56px; border-top: 1px solid var(--grid); padding-top: 16px }
@media (max-width: 640px) { main { padding: 32px 16px 48px } h1 { font-size: 27px } .lead { font-size: 17px } }
@media print { section { break-inside: avoid } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_BITS = (
    "Bits per byte is what it costs, on average, to name the next byte of a file that training never read. "
    "A file as it lies on disk costs 8; lower is better. PPMd primed has read the training files first."
)


@dataclass(frozen=True)
class _Column:
    """A column of a table: `cell` gives the words for a run, or nothing when the run does not say."""

    heading: str
    cell: Callable[[Run], str]
    number: bool = True


@dataclass(frozen=True)
class _Row:
    """A run as the tables show it."""

    label: str
    role: str
    run: Run


def page(series: Sequence[Series], charts: Mapping[str, Drawing]) -> str:
    """The whole document; `charts` are shown in their order."""
    rows = [_Row(one.run_label(run), series_role(index), run) for index, one in enumerate(series) for run in one.runs]
    title = series[0].label if len(series) == 1 else f"{len(rows)} training runs"
    body = [
        _header(title, series),
        *(f'<section class="chart scroll">{chart.svg}</section>' for chart in charts.values()),
        _table_section("Held-out bits per byte", rows, _RESULT, _BITS),
        _table_section("Training", rows, _TRAINING, "Window and batch are in bytes."),
        _pairs_section("Data", rows, "data", _data),
        _pairs_section("Machine", rows, "machine"),
        _pairs_section("Versions", rows, "versions"),
        _footer(rows),
    ]
    return "\n".join([_head(title), "<body><main>", *filter(None, body), "</main></body></html>\n"])


def _head(title: str) -> str:
    light, dark = (" ".join(f"--{role}: {colour};" for role, colour in roles.items()) for roles in (LIGHT, DARK))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} – AXL</title><style>{_CSS.replace('LIGHT', light).replace('DARK', dark)}</style></head>"
    )


def _header(title: str, series: Sequence[Series]) -> str:
    runs = [run for one in series for run in one.runs]
    facts = _facts(runs[0]) if len(runs) == 1 else ""
    return (
        '<header><p class="eyebrow">AXL training report</p>'
        f'<h1>{escape(title)}</h1><p class="lead">{_lead(series, runs)}</p>{facts}</header>'
    )


def _lead(series: Sequence[Series], runs: Sequence[Run]) -> str:
    """The result in a sentence or two."""
    scored = [one for one in series if one.held_out]
    if not scored:
        return "No held-out figure yet."
    if not same_held_out(runs):
        return "The runs were scored on different held-out files, so their figures cannot be compared."
    best = min(scored, key=lambda one: fmean(one.held_out))
    figures = best.held_out
    name = "" if len(series) == 1 else f"{escape(best.label)} is lowest: "
    spread = f", the mean of {len(figures)} runs from {bits(min(figures))} to {bits(max(figures))}" if len(figures) > 1 else ""
    peers = [f"{peer} {bits(value)}".replace(" ", "\u00a0") for peer, value in shared_peers(runs).items()]
    beside = f" On the same files: {', '.join(peers)}." if peers else ""
    return f"{name}<strong>{bits(fmean(figures))} bits per byte</strong> of held-out code{spread}.{beside}"


def _facts(run: Run) -> str:
    shown = {
        "parameters": count(run.number("parameters")),
        "of training": _time(run),
        "bytes read": count(run.reached("bytes")),
        "bytes per second": count(run.speed),
    }
    items = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in shown.items() if value)
    return f'<dl class="facts">{items}</dl>' if items else ""


def _time(run: Run) -> str:
    """How long a run trained, and of what time box when it did not fill it."""
    spent, minutes = run.reached("seconds"), run.number("minutes")
    unfinished = spent is not None and minutes is not None and spent < 0.98 * 60 * minutes
    return f"{duration(spent)} of {duration(60 * minutes)}" if unfinished and minutes else duration(spent)


_RESULT = [
    _Column("Model", lambda run: bits(run.held_out)),
    _Column(PEERS["xz"], lambda run: bits(run.number("held_out", "xz"))),
    _Column(PEERS["ppmd"], lambda run: bits(run.number("held_out", "ppmd"))),
    _Column(PEERS["ppmd_primed"], lambda run: bits(run.number("held_out", "ppmd_primed"))),
    _Column("Bytes scored", lambda run: count(run.number("held_out", "bytes"))),
]
_TRAINING = [
    _Column("Parameters", lambda run: count(run.number("parameters"))),
    _Column("Optimizer", lambda run: run.text("optimizer"), number=False),
    _Column("Time", _time),
    _Column("Steps", lambda run: count(run.reached("steps"))),
    _Column("Bytes read", lambda run: count(run.reached("bytes"))),
    _Column("Bytes/s", lambda run: count(run.speed)),
    _Column("Window", lambda run: count(run.number("window"))),
    _Column("Batch", lambda run: count(run.number("batch"))),
    _Column("Precision", lambda run: run.text("compute_dtype"), number=False),
    _Column("Seed", lambda run: plain(run.number("seed"))),
]


def _table_section(heading: str, rows: Sequence[_Row], columns: Sequence[_Column], note: str = "") -> str:
    """A row per run under the columns that at least one run can fill; nothing when there is no such column."""
    columns = [column for column in columns if any(column.cell(row.run) for row in rows)]
    if not columns:
        return ""
    head = "".join(f'<th scope="col"{_class(column)}>{escape(column.heading)}</th>' for column in columns)
    below = f'<p class="note">{note}</p>' if note else ""
    return (
        f'<section><h2>{heading}</h2><div class="scroll"><table><thead><tr><th scope="col">Run</th>{head}</tr></thead>'
        f"<tbody>{''.join(_table_row(row, columns) for row in rows)}</tbody></table></div>{below}</section>"
    )


def _table_row(row: _Row, columns: Sequence[_Column]) -> str:
    key = f'<span class="key" style="background: var(--{row.role})"></span>'
    cells = "".join(f"<td{_class(column)}>{escape(column.cell(row.run)) or '–'}</td>" for column in columns)
    return f'<tr><th scope="row">{key}{escape(row.label)}</th>{cells}</tr>'


def _class(column: _Column) -> str:
    return ' class="number"' if column.number else ""


def _data(data: dict[str, Any]) -> dict[str, str]:
    """What was read and what was held out, in a reader's order and words."""
    sources, left_out = data.get("sources"), data.get("left_out")
    reasons = left_out.items() if isinstance(left_out, dict) else ()
    return {
        "Sources": ", ".join(map(str, sources)) if isinstance(sources, list) else "",
        "Trained on": _amount(data.get("train_documents"), data.get("train_bytes")),
        "Held out": _amount(data.get("held_out_documents"), data.get("held_out_bytes")),
        "Left out": ", ".join(f"{words(number)} {reason}" for reason, number in reasons),
        "SHA-256": words(data.get("sha256", "")),
    }


def _amount(documents: object, size: object) -> str:
    parts = ((documents, "documents"), (size, "bytes"))
    return ", ".join(f"{words(number)} {unit}" for number, unit in parts if number is not None)


def _anything(pairs: dict[str, Any]) -> dict[str, str]:
    return {key.replace("_", " "): words(value) for key, value in pairs.items()}


def _pairs_section(
    heading: str, rows: Sequence[_Row], key: str, pairs_of: Callable[[dict[str, Any]], dict[str, str]] = _anything
) -> str:
    """What the runs state under `key`, once for all runs that state the same; nothing when none does."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps(row.run.section(key), sort_keys=True), []).append(row)
    lists = []
    for same in groups.values():
        pairs = {term: said for term, said in pairs_of(same[0].run.section(key)).items() if said}
        items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(said)}</dd>" for term, said in pairs.items())
        whose = f"<h3>{escape(', '.join(row.label for row in same))}</h3>" if len(groups) > 1 else ""
        if items:
            lists.append(f'{whose}<dl class="pairs">{items}</dl>')
    return f"<section><h2>{heading}</h2>{''.join(lists)}</section>" if lists else ""


def _footer(rows: Sequence[_Row]) -> str:
    folders = ", ".join(str(row.run.folder) for row in rows)
    return f'<footer><p class="note">Written by <code>axl report</code> from {escape(folders)}.</p></footer>'
