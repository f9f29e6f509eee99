"""What happened while training, as three charts over the same time axis: loss, speed, learning rate."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from multiscale_transformer.errors import AxlError
from multiscale_transformer.training.report.drawing import (
    DOTS_PER_INCH,
    LIGHT,
    SERIES,
    STYLE,
    Drawing,
    render,
    series_role,
)
from multiscale_transformer.training.report.labels import LINE_HEIGHT, Label, margin_for, shorten, write_labels
from multiscale_transformer.training.report.runs import Run, Series, shared_peers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = list[tuple[float, float]]

WIDTH = 960  # this and the next are pixels
_LEFT, _TOP, _BOTTOM = 52, 46, 44
_LETTERS_ACROSS = 140
_DASHES: list[Any] = ["-", (0, (5, 2)), (0, (1, 1.5))]  # when the colours come again, they come in another dash
_MOST_POINTS = 720
_FALL = 0.1  # share of the time in which a loss may fall from above the chart
_TIME_UNITS = ((5 * 3600.0, 3600.0, "hours"), (600.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))  # from, length, name
# Seconds between two marks of the time axis.
_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)


@dataclass(frozen=True)
class _Frame:
    """What the charts of a report share so that they line up: the end of the time axis and the room for labels."""

    seconds: float
    margin: float


def draw_charts(series: Sequence[Series]) -> dict[str, Drawing]:
    """The charts that the runs recorded something for, by name: "loss", "speed", "learning_rate".

    Raises AxlError when matplotlib is not installed.
    """
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise AxlError("the report needs matplotlib; run: pip install axl[report]") from error
    charts: dict[str, tuple[str, Callable[[str, Sequence[Series], _Frame], Figure | None]]] = {
        "loss": ("Loss, in bits per byte", _loss),
        "speed": ("Speed, in bytes read per second", _speed),
        "learning_rate": ("Learning rate, as a share of its peak", _learning_rate),
    }
    frame = _frame(series)
    drawings = {}
    with matplotlib.rc_context(STYLE):
        for name, (title, draw) in charts.items():
            figure = draw(title, series, frame)
            if figure is not None:
                drawings[name] = render(figure, name, title)
    return drawings


def _frame(series: Sequence[Series]) -> _Frame:
    runs = [run for one in series for run in one.runs]
    times = [x for run in runs for curve in (_scored(run), *map(run.curve, run.metrics)) for x, _ in curve]
    letters = max(len(f"0.000 {name}") for name in ["PPMd primed", *map(_name, series)])
    return _Frame(max(times, default=0.0) or 1.0, margin_for(letters))


def _name(series: Series) -> str:
    return shorten(series.label) + _times(series)


def _times(series: Series) -> str:
    return f" × {len(series.runs)}" if len(series.runs) > 1 else ""


def _loss(title: str, series: Sequence[Series], frame: _Frame) -> Figure | None:
    """Training and held-out bits per byte against time, with the compressors as level lines."""
    runs = [run for one in series for run in one.runs]
    peers = shared_peers(runs)
    labels = [label for index, one in enumerate(series) for label in _loss_labels(index, one, alone=len(series) == 1)]
    if not labels:
        return None
    labels += [Label(f"{value:.3f} {name}", frame.seconds, value, "muted") for name, value in peers.items()]
    curves = [curve for run in runs for curve in (_curve(run, "train_bpb"), _probed(run), _scored(run)) if curve]
    low, high = _loss_range(curves, list(peers.values()), frame.seconds)
    figure, axes = _panel(title, _loss_words(runs, len(series), curves, high), 360, labels, frame)
    axes.set_ylim(low, high)
    _set_ticks(axes, 8)
    for value in peers.values():
        axes.axhline(value, color=LIGHT["muted"], linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    for index, run in _numbered(series):
        colour, edge = LIGHT[series_role(index)], LIGHT["surface"]
        _plot(axes, _curve(run, "train_bpb"), index, linewidth=1.2, alpha=0.65 if len(runs) == 1 else 0.4)
        axes.plot(*_columns(_probed(run)), "o-", color=colour, linewidth=1.8, markersize=4.5)
        axes.plot(*_columns(_scored(run)), "o", color=colour, markersize=10, markeredgecolor=edge, zorder=5)
    write_labels(axes, labels)
    return figure


def _numbered(series: Sequence[Series]) -> list[tuple[int, Run]]:
    """Every run with the index of its series."""
    return [(index, run) for index, one in enumerate(series) for run in one.runs]


def _loss_labels(index: int, series: Series, *, alone: bool) -> list[Label]:
    """The name of a series at its mean last held-out figure; one that is alone needs no name, so both its curves get theirs."""
    trained = [_curve(run, "train_bpb")[-1:] for run in series.runs]
    held_out = [(_probed(run) + _scored(run))[-1:] for run in series.runs]
    if alone:
        named = [(f"training{_times(series)}", trained), (f"held out{_times(series)}", held_out)]
    elif any(held_out):
        named = [(_name(series), held_out)]
    else:
        named = [(f"{_name(series)}, training", trained)]
    means = [(name, *_mean(ends)) for name, ends in named if any(ends)]
    return [Label(f"{y:.3f} {name}", x, y, series_role(index)) for name, x, y in means]


def _mean(ends: Sequence[Points]) -> tuple[float, float]:
    """The mean of the points there are, which is at least one."""
    columns = _columns([point for points in ends for point in points])
    return fmean(columns[0]), fmean(columns[1])


def _loss_range(curves: Sequence[Points], peers: Sequence[float], seconds: float) -> tuple[float, float]:
    """Room for everything but the fall of the first moments, beside which all that follows would look flat."""
    settled = [y for curve in curves for x, y in curve if x >= _FALL * seconds]
    shown = [*settled, *peers, *(curve[-1][1] for curve in curves)]
    room = 0.06 * (max(shown) - min(shown)) or 0.1
    return min(shown) - room, max(shown) + room


def _loss_words(runs: Sequence[Run], series: int, curves: Sequence[Points], high: float) -> str:
    """How to read the chart, in as few words as what it shows needs."""
    words = ["Lower is better."]
    if any(_curve(run, "train_bpb") for run in runs):
        words.append("Thin: training, smoothed.")
    if any(map(_probed, runs)):
        words.append("Small dots: a held-out sample, on the way.")
    if any(map(_scored, runs)):
        words.append("Large dot: all held-out files, at the end.")
    highest = max(y for curve in curves for _, y in curve)
    if highest > high:
        words.append(f"The start, from {highest:.1f} down, lies above the chart.")
    if len(runs) > series:
        words.append("× and a number: the mean of so many runs that differ only in their seed.")
    return " ".join(words)


def _curve(run: Run, column: str) -> Points:
    """A column over time in no more points than a line can show; each is the mean of the neighbours it stands for."""
    points = run.curve(column)
    size = math.ceil(len(points) / _MOST_POINTS)
    return points if size <= 1 else [_mean([points[at : at + size]]) for at in range(0, len(points), size)]


def _probed(run: Run) -> Points:
    return run.curve("held_out_bpb")


def _scored(run: Run) -> Points:
    """The final held-out figure, at the end of the run's time."""
    seconds, bits = run.reached("seconds"), run.held_out
    return [] if seconds is None or bits is None else [(seconds, bits)]


def _speed(title: str, series: Sequence[Series], frame: _Frame) -> Figure | None:
    return _simple(title, series, frame, "bytes_per_second", "{:,.0f}")


def _learning_rate(title: str, series: Sequence[Series], frame: _Frame) -> Figure | None:
    return _simple(title, series, frame, "lr", "{:.2f}")


def _simple(title: str, series: Sequence[Series], frame: _Frame, column: str, number: str) -> Figure | None:
    """One column of every run over time, from zero up; each series is labelled with where it ended on the mean."""
    ends = [[_curve(run, column)[-1:] for run in one.runs] for one in series]
    means = [(index, *_mean(points)) for index, points in enumerate(ends) if any(points)]
    if not means:
        return None
    names = [""] if len(series) == 1 else [f" {_name(one)}" for one in series]
    labels = [Label(number.format(y) + names[index], x, y, series_role(index)) for index, x, y in means]
    figure, axes = _panel(title, "", 120, labels, frame)
    for index, run in _numbered(series):
        _plot(axes, _curve(run, column), index, linewidth=1.6)
    axes.set_ylim(0, 1.04 * max(y for _, run in _numbered(series) for _, y in _curve(run, column)) or 1.0)
    _set_ticks(axes, 5)
    write_labels(axes, labels)
    return figure


def _panel(title: str, words: str, plot_height: float, labels: Sequence[Label], frame: _Frame) -> tuple[Figure, Axes]:
    """An empty plot under a title and lines of words, tall enough for its labels, with the time axis set."""
    from matplotlib.figure import Figure

    lines = textwrap.wrap(words, _LETTERS_ACROSS)
    plot_height = max(plot_height, LINE_HEIGHT * (len(labels) + 1))
    height = _TOP + LINE_HEIGHT * len(lines) + plot_height + _BOTTOM
    figure = Figure((WIDTH / DOTS_PER_INCH, height / DOTS_PER_INCH), DOTS_PER_INCH, facecolor=LIGHT["surface"])
    figure.text(0, 1 - 18 / height, title, color=LIGHT["ink"], fontsize=15, fontweight=600, va="baseline")
    for number, line in enumerate(lines):
        figure.text(0, 1 - (38 + LINE_HEIGHT * number) / height, line, color=LIGHT["muted"], va="baseline")
    plot_width = WIDTH - _LEFT - frame.margin
    axes = figure.add_axes((_LEFT / WIDTH, _BOTTOM / height, plot_width / WIDTH, plot_height / height))
    axes.set_facecolor("none")
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(LIGHT["muted"])
    axes.grid(axis="y", color=LIGHT["grid"], linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", colors=LIGHT["muted"], length=0, pad=7)
    _set_time_axis(axes, frame.seconds)
    return figure, axes


def _set_time_axis(axes: Axes, seconds: float) -> None:
    from matplotlib import ticker

    unit, name = next((length, name) for begins, length, name in _TIME_UNITS if seconds >= begins)
    step = next((step for step in _TIME_STEPS if seconds / step <= 8), seconds / 5)
    axes.set_xlim(0, seconds * 1.01)  # a little room, or the last dot would be cut
    axes.xaxis.set_major_locator(ticker.MultipleLocator(step))
    axes.xaxis.set_major_formatter(ticker.FuncFormatter(lambda x, _: f"{x / unit:,.4g}"))
    axes.set_xlabel(f"{name} of training", color=LIGHT["muted"], loc="left", labelpad=6)


def _set_ticks(axes: Axes, most: int) -> None:
    """Round numbers along the vertical axis, whose limits must be final, all with the same decimals."""
    from matplotlib import ticker

    axes.yaxis.set_major_locator(ticker.MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    decimals = max(len(f"{tick:.6g}".partition(".")[2]) for tick in axes.get_yticks())
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter(f"{{x:,.{decimals}f}}"))


def _plot(axes: Axes, points: Points, index: int, **look: Any) -> None:
    dash = _DASHES[index // len(SERIES) % len(_DASHES)]
    axes.plot(*_columns(points), color=LIGHT[series_role(index)], linestyle=dash, **look)


def _columns(points: Points) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]
