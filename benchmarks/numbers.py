"""Single figures by name, for sentences: of README, pages and paper alike, and always those of `runs/*.json`.

A page says `<!-- figure: NAME -->…<!-- end -->`, the paper `\\axl{NAME}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

from multiscale_transformer.errors import AxlError

WATTS = 45.0  # assumed, of a whole laptop under load
PRICE = 0.30  # assumed, of a kilowatt-hour, in euro
LEARNT_EDITS = "edits learnt from pairs, without the model"

Runs = Callable[[str], Any]


def _bits(run: Any, name: str) -> float:
    return float(mean(one["bits_per_byte"] for one in run["runs"] if one["name"] == name))


def _saved(run: Any) -> float:
    """The share of its bits that a net saves with a memory."""
    return 1 - _bits(run, "flat with memory") / _bits(run, "flat alone")


def _distilled(run: Any) -> float:
    """The share of its bits that the exported stack saves by learning from the whole model."""
    return float(1 - run["exported"]["distilled"]["bits_per_byte"]["F16"] / run["exported"]["bits_per_byte"]["F16"])


def _rate(run: Any, name: str) -> float:
    """Bytes a second of one request, at the better number of threads."""
    rows = [row for row in run["rows"] if row["load"] == "1 at once" and row["name"].startswith(name)]
    return float(max(median(row["rates"]) for row in rows))


def _completed(run: Any, kind: str, field: str) -> float:
    return float(mean(row["score"][field] for row in run["rows"] if row["kind"] == kind))


def _passed(run: Any, name: str, who: str = "this model") -> float:
    row = next(row for row in run["rows"] if row["name"] == name)
    return float(row["figures"]["scores"][who]["passes"]["1"]["mean"])


def _as_people(run: Any, who: str) -> str:
    """Percent of the findings that people mended where `who` edits as they did."""
    return f"{100 * sum(row['alike'].get(who, 0) for row in run['rows']) / sum(row['edits'] for row in run['rows']):.0f}"


def _mended(run: Any) -> str:
    """Of bugs injected into a real project, those that the agent mended, and how many there were."""
    return f"{sum(row['mended'] for row in run['rows'])} of {len(run['rows'])}"


def _euro(minutes: float) -> str:
    return f"{minutes / 60 * WATTS / 1000 * PRICE:.4f}"


def _skill(run: Any, skill: str, figure: str, rival: str | None = None) -> float:
    """A figure of the model, or of one of its rivals."""
    of = next(row["figures"] for row in run["rows"] if row["figures"]["skill"] == skill)
    return float((of["figures"] if rival is None else of["rivals"][rival])[figure])


def _fixed(run: Any, within: str) -> str:
    (row,) = (row for row in run["fix"] if row["order"] == "all of it")
    return f"{100 * row['within'][within]:.0f}"


def _reached(run: Any, name: str) -> float:
    return float(mean(row["figure"] for row in run["models"] if row["name"] == name))


NUMBERS: dict[str, Callable[[Runs], str]] = {
    "memory-with": lambda run: f"{_bits(run('memory'), 'flat with memory'):.3f}",
    "memory-without": lambda run: f"{_bits(run('memory'), 'flat alone'):.3f}",
    "memory-saved": lambda run: f"{100 * _saved(run('memory')):.0f}",
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
    "swap-library": lambda run: f"{run('shipped')['swap']['weights']['index of the library']:.3f}",
    "swap-project": lambda run: f"{run('shipped')['swap']['weights']['index of the project']:.3f}",
    "leak-scored": lambda run: f"{mean(run('random_bytes')['rules'][1]['scored']):.2f}",
    "leak-written-least": lambda run: f"{min(run('random_bytes')['rules'][1]['written']):,.0f}",
    "leak-written-most": lambda run: f"{max(run('random_bytes')['rules'][1]['written']):,.0f}",
    "honest-scored": lambda run: f"{mean(run('random_bytes')['rules'][0]['scored']):.2f}",
    "distilled-saved": lambda run: f"{100 * _distilled(run('export')):.1f}",
    "decode-four": lambda run: f"{_rate(run('decode'), 'axl 4 bits') / _rate(run('decode'), 'llama.cpp Q4_K_M'):.1f}",
    "decode-eager": lambda run: f"{_rate(run('decode'), 'axl 4 bits') / _rate(run('decode'), 'PyTorch eager'):.0f}",
    "bpe-bytes": lambda run: f"{next(r for r in run('bpe')['rows'] if not r['merges'])['bits_per_byte']:.3f}",
    "bpe-best": lambda run: f"{min(r['bits_per_byte'] for r in run('bpe')['rows'] if r['merges']):.3f}",
    "refactor-right": lambda run: f"{100 * _skill(run('skills'), 'refactor', 'right edit'):.0f}",
    "refactor-memory": lambda run: f"{100 * _skill(run('skills'), 'refactor', 'right edit', LEARNT_EDITS):.0f}",
    "refactor-model": lambda run: f"{100 * _skill(run('skills'), 'refactor', 'right edit, model alone'):.0f}",
    "refactor-unverified": lambda run: (
        f"{100 * _skill(run('skills'), 'refactor', 'right without verifying', LEARNT_EDITS):.0f}"
    ),
    "document-bleu": lambda run: f"{_skill(run('skills'), 'document', 'BLEU'):.1f}",
    "document-model": lambda run: f"{_skill(run('skills'), 'document', 'BLEU, model alone'):.1f}",
    "fix-first": lambda run: _fixed(run("skills"), "1"),
    "fix-five": lambda run: _fixed(run("skills"), "5"),
    "zoo-translate": lambda run: f"{100 * _reached(run('zoo'), 'axl-translate-auto'):.0f}",
    "mbpp-translated": lambda run: f"{run('skills')['mbpp']['translated']}",
    "mbpp-right": lambda run: f"{run('skills')['mbpp']['right']}",
    "mbpp-wrong": lambda run: f"{run('skills')['mbpp']['wrong']}",
    "hx-programs": lambda run: f"{run('skills')['humaneval_x']['programs']}",
    "hx-translated": lambda run: f"{run('skills')['humaneval_x']['translated']}",
    "hx-wrong": lambda run: f"{run('skills')['humaneval_x']['wrong']}",
    "repairs": lambda run: _mended(run("repairs")),
    "human-memory": lambda run: _as_people(run("human_edits"), "memory of edits"),
    "human-ruff": lambda run: _as_people(run("human_edits"), "ruff"),
    "human-findings": lambda run: f"{sum(row['edits'] for row in run('human_edits')['rows']):,}",
    "sandbox-greedy": lambda run: f"{run('sandbox')['rows'][0]['greedy_tried']}",
    "sandbox-ms": lambda run: f"{max(run('sandbox')['milliseconds'].values()):.0f}",
    "sandbox-tried": lambda run: f"{run('sandbox')['rows'][0]['tried']}",
    "sandbox-out": lambda run: f"{len(run('sandbox')['rows'][0]['escaped'])}",
    "guard-out": lambda run: f"{len(run('sandbox')['rows'][2]['escaped'])}",
    "rest-exact": lambda run: f"{100 * _completed(run('completions'), 'rest of a line', 'exact'):.0f}",
    "line-exact": lambda run: f"{100 * _completed(run('completions'), 'line', 'exact'):.0f}",
    "block-exact": lambda run: f"{100 * _completed(run('completions'), 'block', 'exact'):.0f}",
    "line-filled": lambda run: f"{100 * _passed(run('code'), 'infilling, a line'):.0f}",
    "line-memory": lambda run: f"{100 * _passed(run('code'), 'infilling, a line', 'memory alone'):.0f}",
    "nearest-function": lambda run: f"{100 * _passed(run('code'), 'HumanEval', 'nearest function'):.1f}",
    "rest-ended": lambda run: f"{100 * _completed(run('completions'), 'rest of a line', 'ends_right'):.0f}",
    "soak-requests": lambda run: f"{run('serve')['soak']['requests']:,}",
    "soak-clients": lambda run: f"{run('serve')['soak']['clients']}",
    "soak-first": lambda run: f"{run('serve')['soak']['first_byte_seconds']['p50']:.2f}",
    "mesh-kills": lambda run: f"{run('mesh')['losses']['kills']}",
    "mesh-requests": lambda run: f"{run('mesh')['losses']['requests']:,}",
    "mesh-whole": lambda run: f"{run('mesh')['losses']['outcomes']['whole']:,}",
    "mesh-ended": lambda run: f"{run('mesh')['losses']['outcomes']['told']:,}",
    "mesh-lost": lambda run: f"{run('mesh')['losses']['lost']}",
    "humaneval": lambda run: f"{100 * _passed(run('code'), 'HumanEval'):.0f}",
    "watts": lambda run: f"{WATTS:.0f}",
    "price": lambda run: f"{PRICE:.2f}",
    "euro-three": lambda run: _euro(3),
    "euro-hour": lambda run: _euro(60),
}


def number(name: str, runs: Path) -> str:
    """A figure. Raises AxlError where nobody knows the name, or its result is missing."""
    if name not in NUMBERS:
        raise AxlError(f"no figure is called {name!r}; benchmarks/numbers.py has them")
    return NUMBERS[name](lambda kind: _read(runs / f"bench-{kind}.json"))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise AxlError(f"cannot read {path} ({error}); run the benchmark that writes it") from error
