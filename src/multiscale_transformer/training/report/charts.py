"""What happened while training, as three charts over the same time axis: loss, speed, learning rate."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from operator import methodcaller
from statistics import fmean
from typing import Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.report.runs import Run, Series, shared_baselines

_STYLE: Any = {"text.parse_math": False, "font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
_LONGEST_NAME = 34
_FALL = 0.1  # share of the time in which a loss may fall from above the chart
_TIME_UNITS = ((5 * 3600.0, 3600.0, "hours"), (600.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))  # from, length, name
_PEER_DASHES: list[Any] = ["--", ":", "-.", (0, (8, 2)), (0, (1, 4))]

Chart = tuple[bytes, str]  # a PNG file, and its title and legend in words
_Line = tuple[str, list[list[tuple[float, float]]], dict[str, Any]]  # an entry of a legend, its curves and their look


def draw_charts(series: Sequence[Series]) -> dict[str, Chart]:
    """The charts that the runs recorded something for, by name. Raises AxlError when matplotlib is not installed."""
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise AxlError("the report needs matplotlib; run: pip install axl[report]") from error
    loss = _lines(series, "{:.3f} {}, training", methodcaller("curve", "train_bpb"), linewidth=1, alpha=0.6)
    loss += _lines(series, "{:.3f} {}, a held-out sample", methodcaller("curve", "held_out_bpb"), marker="o", markersize=4)
    loss += _lines(series, "{:.3f} {}, held out", _scored, marker="o", markersize=10, linestyle="")
    speed = _lines(series, "{:,.0f} {}", methodcaller("curve", "bytes_per_second"))
    rate = _lines(series, "{:.2f} {}", methodcaller("curve", "lr"))
    end = max([0.0, *(x for _, curves, _ in loss + speed + rate for curve in curves for x, _ in curve)]) or 1.0
    for (name, bits), dash in zip((shared_baselines(series) or {}).items() if loss else (), _PEER_DASHES, strict=False):
        loss.append((f"{bits:.3f} {name}", [[(0, bits), (end, bits)]], {"color": "0.4", "linestyle": dash}))
    with matplotlib.rc_context(_STYLE):
        charts = {"loss": _draw("Loss: lower is better", "bits per byte", loss, end, 4.5)} if loss else {}
        charts |= {"speed": _draw("Speed", "bytes read per second", speed, end, 2.5)} if speed else {}
        charts |= {"learning_rate": _draw("Learning rate", "share of its peak", rate, end, 2.5)} if rate else {}
    return charts


def _lines(series: Sequence[Series], label: str, curve: Callable[[Run], Any], **look: Any) -> list[_Line]:
    """The curves of each series that has some, labelled with where they end on the mean."""
    lines = []
    for index, one in enumerate(series):
        if curves := list(filter(None, map(curve, one.runs))):
            half = _LONGEST_NAME // 2
            name = one.label if len(one.label) <= _LONGEST_NAME else f"{one.label[:half]}…{one.label[-half:]}"
            name += f" × {len(curves)} (mean)" if len(curves) > 1 else ""
            mean = fmean(points[-1][1] for points in curves)
            lines.append((label.format(mean, name), curves, {"color": f"C{index % 10}", **look}))
    return lines


def _scored(run: Run) -> list[tuple[float, float]]:
    """The final held-out figure, at the end of the run's time."""
    seconds, bits = run.number("seconds"), run.figure("bits_per_byte")
    return [] if seconds is None or bits is None else [(seconds, bits)]


def _draw(title: str, unit: str, lines: Sequence[_Line], end: float, height: float) -> Chart:
    from matplotlib.figure import Figure

    figure = Figure((13, height + 0.25 * math.ceil(len(lines) / 3)), 150, layout="constrained")  # inches, dots per inch
    axes = figure.subplots()
    length, name = next((length, name) for begins, length, name in _TIME_UNITS if end >= begins)
    for label, curves, look in lines:
        for number, curve in enumerate(curves):
            axes.plot([x / length for x, _ in curve], [y for _, y in curve], label="" if number else label, **look)
    axes.set(xlabel=f"{name} of training", ylabel=unit, xlim=(0, 1.01 * end / length), ylim=(0, None))
    if title.startswith("Loss"):  # room for all but the fall of the first moments, beside which the rest would look flat
        curves = [curve for _, several, _ in lines for curve in several]
        shown = [y for curve in curves for x, y in curve if x >= _FALL * end or (x, y) == curve[-1]]
        room = 0.06 * (max(shown) - min(shown)) or 0.1
        axes.set_ylim(min(shown) - room, max(shown) + room)
        top = max(y for curve in curves for _, y in curve)
        title += f" (the start, from {top:.1f} down, lies above the chart)" if top > max(shown) + room else ""
    axes.set_title(title, loc="left", fontweight="bold")
    axes.locator_params(axis="x", steps=[1, 2, 3, 6, 10])
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.grid(axis="y", alpha=0.4)
    figure.legend(loc="outside lower left", ncols=3, frameon=False)
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})  # the same runs give the same bytes
    return png.getvalue(), f"{title}, {unit}. Ends at: {'; '.join(label for label, _, _ in lines)}."
