"""`axl complete`: continue a text, or fill the gap before a suffix, streaming to the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from multiscale_transformer.cli.compiling import ensure_kernels
from multiscale_transformer.cli.console import busy, errors, note, write
from multiscale_transformer.cli.memories import index_folders
from multiscale_transformer.cli.options import Checkpoint, EngineThreads, MemoryFolders, seed_number
from multiscale_transformer.data.sources import STDLIB
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.folder import read_config
from multiscale_transformer.zoo.shipped import shipped_model

if TYPE_CHECKING:
    from multiscale_transformer.evaluation.attribution import Bits, Costs
    from multiscale_transformer.memory.lookup import CorpusMemory
    from multiscale_transformer.model.sampling import Sampling


SAMPLING = "Sampling"
SHIPPED_FOLDER = shipped_model()
SHOWN = 60  # characters of a passage that is named as standing in a file


class Writer(NamedTuple):
    """A model at work: `write` continues ids and gives the text piece by piece, `costs` says what each byte of a text costs."""

    write: Callable[[list[int], Sampling], Iterable[str]]
    costs: Costs


def complete(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to continue; - reads it from standard input.")],
    model: Checkpoint = SHIPPED_FOLDER,
    suffix: Annotated[str | None, typer.Option(metavar="TEXT", help="Text after the gap: fills in the middle.")] = None,
    max_tokens: Annotated[int, typer.Option(metavar="N", min=0, help="Most bytes to write.")] = 256,
    stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="Stop before this text; may be given several times.")
    ] = None,
    memory: MemoryFolders = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", metavar="", help="Say afterwards in which indexed files the text stands, and the bits saved."
        ),
    ] = False,
    engine: Annotated[
        Literal["compiled", "torch"], typer.Option(help="Compiled, or the slow reference in PyTorch it is checked against.")
    ] = "compiled",
    threads: EngineThreads = None,
    temperature: Annotated[
        float, typer.Option(metavar="X", min=0.0, rich_help_panel=SAMPLING, help="0 always takes the likeliest byte.")
    ] = 0.4,
    top_k: Annotated[
        int, typer.Option(metavar="N", min=0, rich_help_panel=SAMPLING, help="Draw from the N likeliest bytes; 0 is all.")
    ] = 0,
    top_p: Annotated[
        float,
        typer.Option(metavar="X", max=1.0, rich_help_panel=SAMPLING, help="Draw from the likeliest with this share; 1 is all."),
    ] = 0.95,
    repetition_penalty: Annotated[
        float, typer.Option(metavar="X", rich_help_panel=SAMPLING, help="Above 1 avoids recent bytes; 1 is none.")
    ] = 1.0,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", callback=seed_number, rich_help_panel=SAMPLING, help="The same seed writes the same text."),
    ] = None,
) -> None:
    """Complete PROMPT, byte by byte, with the model in --model, or else the small one that comes with AXL.

    Prompt and completion go to standard output as plain text. The model looks up what it wrote in its memory: the files it was
    trained on, or the indexes given with --memory. The memory of the model that comes with AXL is the library of this Python,
    which is indexed on first use.

        axl complete "def fibonacci(n):"
        axl complete "def main(" --model checkpoints/mine --memory my_index --memory stdlib --explain
        axl complete "def area(r): return " --suffix " * r ** 2" --model checkpoints/mine
        head -n 20 app.py | axl complete - --model checkpoints/mine
    """
    from multiscale_transformer.model.sampling import Sampling

    if any(not text for text in stop or ()):
        raise AxlError("--stop needs a text of at least one character")
    sampling = Sampling(
        max_new_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        stop=tuple(map(os.fsencode, stop or ())),
    )
    config = read_config(model)
    known = memory_for(config, model, memory)
    at_work = writer(model, known, compiled=engine == "compiled", threads=threads)
    before = _standard_input() if prompt == "-" else os.fsencode(prompt)
    after = None if suffix is None else os.fsencode(suffix)
    ids, left_out = prompt_ids(config, before, after)
    if left_out:
        given = len(before) + len(after or b"")
        note(f"the text is {given:,} bytes; the model reads the {given - left_out:,} nearest to the gap")
    written = stream(at_work, ids, before, after, sampling).encode()
    if known is not None:
        from multiscale_transformer.evaluation.attribution import bits_saved

        saved = bits_saved(at_work.costs, [*ids, *written], known, len(written)) if explain else None
        _explain(known, before, written, saved)


def writer(checkpoint: Path, memory: CorpusMemory | None, *, compiled: bool = True, threads: int | None = None) -> Writer:
    """What continues ids: the compiled engine, or the reference where it is asked for or the engine fails its test."""
    if compiled:
        from multiscale_transformer.engine.weights import UnfitError

        try:
            return _compiled(checkpoint, memory, threads or 1)
        except UnfitError as error:
            note(f"{error}; going on with the reference, which is slower")
    import torch

    from multiscale_transformer.engine.detokenizer import stream_text
    from multiscale_transformer.evaluation.attribution import reference_costs
    from multiscale_transformer.machine import available_cores
    from multiscale_transformer.model.checkpoint import load_model

    torch.set_num_threads(threads or available_cores())
    network = load_model(checkpoint)
    return Writer(lambda ids, sampling: stream_text(network, ids, sampling, memory), reference_costs(network))


def _compiled(checkpoint: Path, memory: CorpusMemory | None, threads: int) -> Writer:
    from multiscale_transformer.engine.engine import load_engine
    from multiscale_transformer.engine.scheduler import Request, Scheduler
    from multiscale_transformer.engine.self_test import check
    from multiscale_transformer.evaluation.attribution import engine_costs

    ensure_kernels()
    engine = load_engine(checkpoint, threads=threads)
    with busy("comparing the engine with the reference"):
        not_compared = check(engine, checkpoint)
    if not_compared:
        note(not_compared)
    batcher = Scheduler(engine)
    return Writer(
        lambda ids, sampling: (piece.text for piece in batcher.stream(Request(ids, sampling, memory))), engine_costs(batcher)
    )


def memory_for(config: ModelConfig, checkpoint: Path, names: list[str] | None) -> CorpusMemory | None:
    """The indexes named, or the checkpoint's own; none where the model has no use for them or its own is damaged."""
    from multiscale_transformer.memory.lookup import memory_of

    if names is None and checkpoint == SHIPPED_FOLDER:
        names = [STDLIB]
    if names:
        return memory_of(checkpoint, config.memory, index_folders(names))
    try:
        return memory_of(checkpoint, config.memory, None)
    except AxlError as error:
        note(f"{error}; the model goes on without its memory")
        return None


def prompt_ids(config: ModelConfig, before: bytes, after: bytes | None = None) -> tuple[list[int], int]:
    """What the model reads, and how many bytes of the text have no place in its context."""
    from multiscale_transformer.data.fim import fitted_fim_ids
    from multiscale_transformer.model.vocabulary import ByteTokenizer

    if after is None:
        return ByteTokenizer().encode(before, add_bos=True), max(0, len(before) - config.max_seq_len + 1)
    return fitted_fim_ids(before, after, config.max_seq_len)


def stream(at_work: Writer, ids: list[int], before: bytes, after: bytes | None, sampling: Sampling) -> str:
    """Write `before`, what the model puts behind `ids` as it comes, and `after`; returns what is new."""
    write(before.decode("utf-8", "replace"), dim=True)
    last, written = before[-1:].decode("ascii", "replace"), ""
    for piece in at_work.write(ids, sampling):
        write(piece)
        last = piece
        written += piece
    if after:
        last = after.decode("utf-8", "replace")
        write(last, dim=True)
    if not last.endswith("\n"):
        write("\n")
    return written


def _explain(memory: CorpusMemory, before: bytes, written: bytes, saved: Bits | None) -> None:
    """Name the files that the text stands in: with the bits that the memory `saved` (N,) all, else only what is a copy."""
    from multiscale_transformer.memory.provenance import provenance

    try:
        found = [source for source in provenance(memory, before, written) if saved is not None or source.copied]
    except (AxlError, OSError, ValueError, IndexError) as error:
        note(f"where the text comes from cannot be found: {error}")
        return
    for source in found:
        text = written[source.begin : source.end].decode("utf-8", "replace")
        shown = " ".join(text.split())
        shown = shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 1]}…"
        facts = [f"{source.length} bytes match"]
        if saved is not None:
            facts.append(f"the memory saved {saved[source.begin : source.end].sum():.1f} bits here")
        if source.copied:
            facts.append(f"a copy of {source.end - source.begin} bytes" + (f" ({source.licence})" if source.licence else ""))
        note(f"{source.name}:{source.line}: {shown!r} ({'; '.join(facts)})")
    if saved is not None:
        if not found:
            note("no part of the text stands in an indexed file")
        note(f"the memory saved {saved.sum():.1f} bits in {len(written)} bytes")


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        errors.print("Type the prompt and end it with Ctrl-D on a line of its own:")
    return sys.stdin.buffer.read()
