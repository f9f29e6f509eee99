"""A training run as a page that can be sent to someone: one HTML file that asks nothing of the network, and PNGs for slides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from multiscale_transformer import files
from multiscale_transformer.training.report.charts import draw_charts
from multiscale_transformer.training.report.page import page
from multiscale_transformer.training.report.runs import load_series

__all__ = ["write_report"]


def write_report(runs: Sequence[Path], out: Path) -> list[Path]:
    """Write `report.html` and one PNG per chart (`loss.png`, `speed.png`, `learning_rate.png`) about run folders into `out`.

    Returns the paths written, the page first; a chart that no run recorded anything for is left out.
    Raises AxlError for a folder that is not a run, when matplotlib is missing, or when `out` cannot be written.
    """
    loaded = load_series(runs)
    charts = draw_charts(loaded)
    written = {out / "report.html": page(loaded, charts).encode("utf-8", "replace")}
    written |= {out / f"{name}.png": chart.png for name, chart in charts.items()}
    for path, content in written.items():
        files.write_bytes(path, content)
    return list(written)
