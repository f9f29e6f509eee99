"""A training run as a page that can be sent to someone: one HTML file that asks nothing of the network, and PNGs for slides."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from multiscale_transformer import files
from multiscale_transformer.evaluation.compression_baselines import LABELS
from multiscale_transformer.training.report.charts import Chart, draw_charts
from multiscale_transformer.training.report.runs import Run, Series, load_series, shared_baselines

__all__ = ["duration", "write_report"]


def write_report(runs: Sequence[Path], out: Path) -> list[Path]:
    """Write `report.html` and one PNG per chart (`loss.png`, `speed.png`, `learning_rate.png`) about run folders into `out`.

    Returns the paths written, the page first; a chart that no run recorded anything for is left out.
    Raises AxlError for a folder that is not a run, when matplotlib is missing, or when `out` cannot be written.
    """
    loaded = load_series(runs)
    charts = draw_charts(loaded)
    written = {out / "report.html": _page(loaded, charts).encode("utf-8", "replace")}
    written |= {out / f"{name}.png": png for name, (png, _) in charts.items()}
    for path, content in written.items():
        files.write_bytes(path, content)
    return list(written)


def _page(series: Sequence[Series], charts: Mapping[str, Chart]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    facts = [{"Run": one.label, **_facts(run)} for one in series for run in one.runs]
    names = [name for name in dict.fromkeys(name for said in facts for name in said) if any(said.get(name) for said in facts)]
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.j2").render(
        title=series[0].label if len(series) == 1 else f"{len(facts)} training runs",
        lead=_lead(series),
        charts=[(b64encode(png).decode(), said) for png, said in charts.values()],
        rows={name: [said.get(name) or "–" for said in facts] for name in names},
    )


def _lead(series: Sequence[Series]) -> tuple[str, str, str]:
    """The result in a sentence or two: what comes before the figure, the figure, what comes after it."""
    scored = {one.label: [bits for run in one.runs if (bits := run.figure("bits_per_byte")) is not None] for one in series}
    means = {label: fmean(figures) for label, figures in scored.items() if figures}
    baselines = shared_baselines(series)
    if not means:
        return "No held-out figure yet.", "", ""
    if baselines is None:
        return "The runs were scored on different held-out files, so their figures cannot be compared.", "", ""
    best = min(means, key=means.__getitem__)
    low, high = min(scored[best]), max(scored[best])
    beside = ", ".join(f"{name} {bits:.3f}" for name, bits in baselines.items())
    spread = f", the mean of {len(scored[best])} runs from {low:.3f} to {high:.3f}" if len(scored[best]) > 1 else ""
    after = f" of held-out code{spread}.{f' On the same files: {beside}.' if beside else ''}"
    return f"{best} is lowest: " if len(series) > 1 else "", f"{means[best]:.3f} bits per byte", after


def _facts(run: Run) -> dict[str, str]:
    """Everything needed to judge or repeat a run, by what people call it; nothing for what it does not say."""
    seconds, read, box = run.number("seconds"), run.number("bytes"), 60 * (run.number("minutes") or 0)
    facts = {"Held out, bits per byte": _number(run.figure("bits_per_byte"), 3)}
    facts |= {label.full: _number(run.figure(key), 3) for key, label in LABELS.items()}
    facts |= {"Bytes scored": _number(run.figure("bytes")), "Parameters": _number(run.number("parameters"))}
    facts["Time"] = duration(seconds) + (f" of {duration(box)}" if seconds is not None and seconds < 0.98 * box else "")
    speed = read / seconds if seconds and read else None
    facts |= {"Steps": _number(run.number("steps")), "Bytes read": _number(read), "Bytes per second": _number(speed)}
    facts |= {name: _words(run.facts.get(name.lower(), "")) for name in ("Optimizer", "Window", "Batch", "Seed")}
    facts["Precision"] = _words(run.facts.get("compute_dtype", ""))
    for section in ("data", "machine", "versions"):
        said = (run.facts.get(section) or {}).items()
        facts |= {f"{section.capitalize()}: {term.replace('_', ' ')}": _words(value) for term, value in said if value}
    return facts | {"Folder": str(run.folder)}


def _number(value: float | None, decimals: int = 0) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def _words(value: Any) -> str:
    """Anything JSON can say, for people."""
    if isinstance(value, dict):
        return ", ".join(f"{_words(said)} {term}" for term, said in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else f"{value:,}" if type(value) is int else str(value)


def duration(seconds: float | None) -> str:
    """Such as 45 s, 3 min, 3 min 20 s, 2 h 5 min; nothing for what is not known."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{count:,} {unit}" for count, unit in parts if count) or "0 s"
