"""`axl suggest`: the size that a time can really train on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.options import Minutes, Threads, above_zero
from multiscale_transformer.training.settings import DEFAULT_SETTINGS


def suggest(
    minutes: Minutes = DEFAULT_SETTINGS.minutes,
    ram: Annotated[
        float | None, typer.Option(metavar="GB", callback=above_zero, help="RAM to use (default: what is installed).")
    ] = None,
    threads: Threads = None,
) -> None:
    """Measure this CPU for a moment and propose the size that the time can really train."""
    from multiscale_transformer.machine import available_cores, installed_ram
    from multiscale_transformer.training.suggest import suggest as rank_sizes

    with ui.busy("measuring this CPU"):
        rows = rank_sizes(minutes, threads or available_cores(), ram if ram is not None else installed_ram() / 1e9)
    table = ui.new_table(
        f"What {ui.counted(minutes, 'minute')} can train here", ("size", "parameters >", "KB/s >", "reads >", "RAM >", "")
    )
    for row in rows:
        table.add_row(
            row.name,
            ui.millions(row.config.parameters()),
            f"{row.bytes_per_second / 1e3:,.1f}",
            ui.size(row.megabytes * 1e6),
            ui.size(row.ram_gb * 1e9),
            "best for this time" if row.best else "",
            style="bold" if row.best else "",
        )
    ui.show_table(table)
    ui.out.print("\nTrain the best one (axl models lists the published ones):")
    ui.print_command(ui.command("train", "--minutes", f"{minutes:g}"))
