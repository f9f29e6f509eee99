"""`axl tune`: let the engine spend fewer bits where the model does not miss them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from multiscale_transformer.cli import ui
from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.options import Checkpoint, Data, MemoryFolders

FILES, BYTES = 8, 1024


def tune(
    model: Checkpoint,
    data: Data = None,
    memory: MemoryFolders = None,
    allowed: Annotated[
        float, typer.Option(metavar="X", min=0.0, help="Bits per byte that all maps of 4 bits may cost together.")
    ] = 0.01,
) -> None:
    """Measure which linear maps of a checkpoint can do with 4 bits instead of 8, and keep that in its engine.json.

    Without --data held-out files of Python's library are read.

        axl tune --model checkpoints/mine
    """
    from multiscale_transformer.cli.memory_args import memory_for
    from multiscale_transformer.data.corpus import load_corpus
    from multiscale_transformer.data.named_sources import STDLIB
    from multiscale_transformer.engine.engine import Engine
    from multiscale_transformer.engine.prompt_scoring import engine_bits_per_byte
    from multiscale_transformer.engine.weights import build_network, linear_names, read_weights
    from multiscale_transformer.model.folder import read_config
    from multiscale_transformer.quantization.tuning import Bits, save_tuned
    from multiscale_transformer.quantization.tuning import tune as choose_bits

    ensure_kernels()
    config, weights = read_config(model), read_weights(model)
    index = memory_for(config, model, memory)
    with ui.busy("reading"):
        held_out = load_corpus(data or [STDLIB]).held_out
    step = max(1, len(held_out) // FILES)
    texts = [held_out[number][:BYTES] for number in range(0, len(held_out), step)]

    def cost(bits: Bits | int) -> float:
        return engine_bits_per_byte(Engine(config, build_network(config, weights, bits)), texts, index)

    sizes = {name: weights[name].size for name in linear_names(config)}
    with ui.bar() as bar:
        task = bar.add_task("measuring each map", total=1.0)
        tuned = choose_bits(sizes, cost, allowed=allowed, on_progress=lambda done: bar.update(task, completed=done))
    save_tuned(model, replace(tuned, bits=tuned.bits or dict.fromkeys(sizes, 8)))  # none would read as nothing measured
    ui.print_field("8 bits", f"{tuned.cost_of_8:.4f} bits per byte on {sum(map(len, texts)):,} bytes")
    ui.print_field("4 bits", f"{tuned.cost_of_4:.4f}")
    ui.print_field("chosen", f"{tuned.cost:.4f} with 4 bits for {ui.counted(len(tuned.bits), 'map')}, kept in {model}")
