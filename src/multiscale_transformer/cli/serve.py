"""`axl serve`: models behind the interfaces that editors and libraries speak."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.memory_args import index_folders
from multiscale_transformer.cli.options import EngineThreads, MemoryFolders, above_zero, checkpoint
from multiscale_transformer.cli.ui import busy, errors, note
from multiscale_transformer.data.sources import STDLIB
from multiscale_transformer.errors import AxlError
from multiscale_transformer.memory.document import shown_sources
from multiscale_transformer.zoo.shipped import SHIPPED, shipped_model

LIMITS = "Limits"
KEY_VARIABLE = "AXL_API_KEY"


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER", help="Checkpoint folder, or shipped for the one in the package. May be given several times."
        ),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8880,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is all, for other machines.")] = (
        "127.0.0.1"
    ),
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What clients call the model (default: its folder's).")
    ] = None,
    memory: MemoryFolders = None,
    api_key: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help=f"Keys that clients must send (default: ${KEY_VARIABLE}, or none).")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Host names, besides localhost, that requests may come to.")
    ] = None,
    threads: EngineThreads = None,
    hole_ms: Annotated[
        float | None,
        typer.Option(
            metavar="MS", callback=above_zero, rich_help_panel=LIMITS, help="Time to fill a hole, for impatient editors."
        ),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option(metavar="S", callback=above_zero, rich_help_panel=LIMITS, help="Seconds for any request.")
    ] = None,
    queued: Annotated[
        int, typer.Option(metavar="N", min=1, rich_help_panel=LIMITS, help="Requests that may wait for each model.")
    ] = 64,
    cache_mb: Annotated[
        int, typer.Option(metavar="MB", min=16, rich_help_panel=LIMITS, help="State of texts that is kept for each model.")
    ] = 512,
    memory_mb: Annotated[
        int, typer.Option(metavar="MB", min=64, rich_help_panel=LIMITS, help="All loaded models together.")
    ] = 4096,
    keep_alive: Annotated[
        float,
        typer.Option(metavar="S", rich_help_panel=LIMITS, help="Seconds that an unused model stays loaded; -1 is for ever."),
    ] = -1,
    quiet: Annotated[bool, typer.Option("--quiet", metavar="", help="Log warnings only.")] = False,
) -> None:
    """Serve models to editors and libraries: OpenAI, Ollama and llama.cpp routes, and a playground at /.

    axl serve
    axl serve --model checkpoints/mine --memory my_index --memory stdlib --hole-ms 350
    axl serve --host 0.0.0.0 --api-key secret
    """
    from platformdirs import user_data_path

    from multiscale_transformer.server.app import Settings, build_app
    from multiscale_transformer.server.logs import set_up
    from multiscale_transformer.server.model_manager import NEVER, Limits
    from multiscale_transformer.server.registry import names_of
    from multiscale_transformer.server.runner import listen
    from multiscale_transformer.server.runner import serve as run

    folders = [checkpoint(value) for value in model or [SHIPPED]]
    named = names_of(folders, name if name or folders != [shipped_model()] else SHIPPED)
    keys = tuple(api_key or filter(None, [os.environ.get(KEY_VARIABLE)]))
    if any(not key for key in keys):
        raise AxlError("--api-key needs a text of at least one character")
    indexes = None if memory is None else _indexes(memory)
    if memory is None and shipped_model() in folders:
        index_folders([STDLIB])  # now, and said, instead of inside the first request
    limits = Limits(threads or 1, cache_mb << 20, memory_mb << 20, queued, NEVER if keep_alive < 0 else keep_alive)
    settings = Settings(
        models=named,
        kept=user_data_path("axl", appauthor=False) / "models",
        indexes=indexes,
        shipped=shipped_model(),
        hosts=tuple(allow_host or ()) + ((host,) if host not in ("0.0.0.0", "::") else ()),
        keys=keys,
        hole_seconds=None if hole_ms is None else hole_ms / 1000,
        most_seconds=time_limit,
        limits=limits,
    )
    app = build_app(settings)
    bound = listen(host, port)
    set_up(quiet=quiet)
    if host not in ("127.0.0.1", "localhost", "::1") and not keys:
        note(f"other machines can use this server, and it asks for no key; give it one with --api-key or ${KEY_VARIABLE}")
    service = app.state.service
    ensure_kernels()
    with busy("loading the model"):
        service.loader.preload(service.catalogue.find(None))
    for said in service.loader.notes.values():
        note(said)
    _announce(bound.getsockname()[:2], named)
    run(app, bound)


def _indexes(memory: list[str]) -> dict[str, Path]:
    """The folders of indexes by what requests call them: the folder's name, or more of its path where two are called alike."""
    folders = index_folders(memory)
    places = {
        STDLIB if name == STDLIB else str(folder.resolve()): folder for name, folder in zip(memory, folders, strict=False)
    }
    names = shown_sources(places)
    return {names[place]: folder for place, folder in places.items()}


def _announce(address: tuple[str, int], named: dict[str, Path]) -> None:
    host, port = address
    shown = f"[{host}]" if ":" in host else "127.0.0.1" if host == "0.0.0.0" else host
    base = f"http://{shown}:{port}"
    errors.print(f"Serving {', '.join(named)} on {base}", markup=False, soft_wrap=True)
    errors.print(f"  OpenAI {base}/v1   Ollama {base}   playground {base}/   routes {base}/docs", markup=False, soft_wrap=True)
    errors.print("  Ctrl-C ends it.", markup=False)
