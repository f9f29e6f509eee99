"""`axl complete`: continue a text, or fill the gap before a suffix, streaming to the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import torch
import typer

from multiscale_transformer.cli.console import errors, out
from multiscale_transformer.data.fim import fim_ids
from multiscale_transformer.errors import AxlError
from multiscale_transformer.inference.completion import stream_text
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.generate import Sampling
from multiscale_transformer.model.vocabulary import ByteTokenizer
from multiscale_transformer.training.machine import default_threads


def complete(
    prompt: Annotated[str, typer.Argument(help="The text to continue; - reads it from standard input.")],
    model: Annotated[Path, typer.Option(help="Checkpoint folder.")],
    suffix: Annotated[str | None, typer.Option(help="Text after the gap: fills in the middle.")] = None,
    max_tokens: Annotated[int, typer.Option(help="Most bytes to write.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.4,
    top_k: Annotated[int, typer.Option(help="0: all.")] = 0,
    top_p: Annotated[float, typer.Option(help="1: all.")] = 0.95,
    repetition_penalty: Annotated[float, typer.Option(help="1: none.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="The same seed writes the same text.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be given several times.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: all cores).")] = None,
) -> None:
    """Complete PROMPT with the model in --model."""
    torch.set_num_threads(threads or default_threads())
    sampling = Sampling(
        max_new_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(text.encode() for text in stop or ()),
    )
    if any(not text for text in sampling.stop):
        raise AxlError("--stop needs a text of at least one character")
    text = sys.stdin.read() if prompt == "-" else prompt
    network = load_model(model)
    ids = ByteTokenizer().encode(text, add_bos=True) if suffix is None else fim_ids(text.encode(), suffix.encode())
    if len(ids) > network.config.max_seq_len:
        errors.print(f"note: the prompt is {len(ids):,} bytes; the model reads the last {network.config.max_seq_len:,}")
    out.print(text, end="", style="dim", markup=False, soft_wrap=True)
    for piece in stream_text(network, ids, sampling):
        out.print(piece, end="", markup=False, soft_wrap=True)
    out.print(suffix or "", style="dim", markup=False, soft_wrap=True)
