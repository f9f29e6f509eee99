"""`axl complete`: continue a text, or fill the gap before a suffix, streaming to the terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from multiscale_transformer.cli.compile import ensure_kernels
from multiscale_transformer.cli.memory_args import memory_for
from multiscale_transformer.cli.options import SHIPPED_FOLDER, Checkpoint, EngineThreads, MemoryFolders, seed_number, setting
from multiscale_transformer.cli.ui import busy, note, print_error_line, write
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.sampling import DEFAULT_SAMPLING, FIM_CANDIDATES, Sampling, default_sampling

if TYPE_CHECKING:
    from multiscale_transformer.engine.infill import Cursor
    from multiscale_transformer.engine.session import Session
    from multiscale_transformer.evaluation.attribution import Bits
    from multiscale_transformer.memory.lookup import CorpusMemory

SAMPLING = "Sampling"
SHOWN = 60  # characters of a passage that is named as standing in a file


def complete(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text to continue; - reads it from standard input.")],
    model: Checkpoint = SHIPPED_FOLDER,
    suffix: Annotated[str | None, typer.Option(metavar="TEXT", help="Text after the gap: fills in the middle.")] = None,
    only: Annotated[bool, typer.Option("--only", metavar="", help="Print the completion alone.")] = False,
    stop_rules: Annotated[
        bool,
        typer.Option(
            "--stop-rules/--no-stop-rules",
            metavar="",
            help="End where an editor would: line, block, repetition.",
        ),
    ] = True,
    max_tokens: Annotated[
        int, setting(Sampling, "max_new_tokens", "N", "Most bytes to write.")
    ] = DEFAULT_SAMPLING.max_new_tokens,
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
        float | None,
        setting(
            Sampling,
            "temperature",
            "X",
            f"0 always takes the likeliest byte (default: {DEFAULT_SAMPLING.temperature:g}, with --suffix 0).",
            SAMPLING,
        ),
    ] = None,
    top_k: Annotated[
        int, setting(Sampling, "top_k", "N", "Draw from the N likeliest bytes; 0 is all.", SAMPLING)
    ] = DEFAULT_SAMPLING.top_k,
    top_p: Annotated[
        float, setting(Sampling, "top_p", "X", "Draw from the likeliest with this share; 1 is all.", SAMPLING)
    ] = DEFAULT_SAMPLING.top_p,
    repetition_penalty: Annotated[
        float,
        typer.Option(metavar="X", rich_help_panel=SAMPLING, help="Above 1 avoids recent bytes; 1 is none."),
    ] = DEFAULT_SAMPLING.repetition_penalty,
    candidates: Annotated[
        int,
        setting(Sampling, "candidates", "N", "Texts for the gap before --suffix, of which the best is taken.", SAMPLING),
    ] = FIM_CANDIDATES,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", callback=seed_number, rich_help_panel=SAMPLING, help="The same seed writes the same text."),
    ] = None,
) -> None:
    """Complete PROMPT, byte by byte, with the model in --model, or else the small one that comes with AXL.

    Prompt and completion go to standard output as plain text, or with --only the completion alone. With --suffix the gap is
    filled. A completion ends where an editor would want it; --no-stop-rules lets the model go on.

    The model looks up what it wrote in its memory: the files it was trained on, or the indexes given with --memory. The memory
    of the model that comes with AXL is the library of this Python, which is indexed on first use.

        axl complete "def fibonacci(n):"
        axl complete "def main(" --model checkpoints/mine --memory my_index --memory stdlib --explain
        axl complete "def area(r): return " --suffix " * r ** 2" --model checkpoints/mine
        head -n 20 app.py | axl complete - --model checkpoints/mine
    """
    from multiscale_transformer.engine.infill import continue_text, fill_gap
    from multiscale_transformer.engine.session import open_session
    from multiscale_transformer.model.folder import read_config

    if any(not text for text in stop or ()):
        raise AxlError("--stop needs a text of at least one character")
    if suffix is None and candidates != FIM_CANDIDATES:
        raise AxlError("--candidates goes with --suffix")
    sampling = Sampling(
        max_new_tokens=max_tokens,
        temperature=temperature if temperature is not None else default_sampling(fim=suffix is not None).temperature,
        top_k=top_k,
        top_p=top_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
        candidates=candidates,
        stop=tuple(map(os.fsencode, stop or ())),
    )
    config, compiled = read_config(model), engine == "compiled"
    corpus_memory = memory_for(config, model, memory)
    if compiled:
        ensure_kernels()
    with busy("loading the model"):
        session = open_session(model, corpus_memory, compiled=compiled, threads=threads, on_note=note)
    before = _standard_input() if prompt == "-" else os.fsencode(prompt)
    after = None if suffix is None else os.fsencode(suffix)
    context = config.max_seq_len
    cursor = continue_text(before, context) if after is None else fill_gap(before, after, context)
    cursor = cursor.with_stop_rules(stop_rules, before, after or b"")
    if cursor.truncated:
        given = len(before) + len(after or b"")
        note(f"the text is {given:,} bytes; the model reads the {given - cursor.truncated:,} nearest to the gap")
    written = show_stream(session, cursor, before, after, sampling, only=only).encode()
    if corpus_memory is not None:
        _explain(corpus_memory, before, written, _bits_saved(session, cursor.ids, written, corpus_memory) if explain else None)
    elif explain:
        note("there is no memory in which --explain could look")


def show_stream(
    session: Session, cursor: Cursor, before: bytes, after: bytes | None, sampling: Sampling, *, only: bool = False
) -> str:
    """Write `before`, what the model puts at the cursor as it comes, and `after`, or `only` what is new; returns that."""
    last = "" if only else before.decode("utf-8", "replace")
    write(last, dim=True)
    written = ""
    for piece in session.stream(cursor, sampling):
        write(piece)
        last = piece or last
        written += piece
    if only:
        return written
    if after:
        last = after.decode("utf-8", "replace")
        write(last, dim=True)
    if not last.endswith("\n"):
        write("\n")
    return written


def _bits_saved(session: Session, ids: list[int], written: bytes, memory: CorpusMemory) -> Bits:
    from multiscale_transformer.engine.session import EngineSession
    from multiscale_transformer.evaluation.attribution import bits_saved, engine_costs, reference_costs

    costs = engine_costs(session.scheduler) if isinstance(session, EngineSession) else reference_costs(session.model)
    return bits_saved(costs, [*ids, *written], memory, len(written))


def _explain(memory: CorpusMemory, before: bytes, written: bytes, saved: Bits | None) -> None:
    """Name the files that the text stands in: with the bits that the memory `saved` (N,) all, else only what is a copy."""
    from multiscale_transformer.memory.provenance import provenance

    try:
        shown = [source for source in provenance(memory, before, written) if saved is not None or source.copied]
    except (AxlError, OSError, ValueError, IndexError) as error:
        note(f"where the text comes from cannot be found: {error}")
        return
    for source in shown:
        text = written[source.begin : source.end].decode("utf-8", "replace")
        passage = " ".join(text.split())
        passage = passage if len(passage) <= SHOWN else f"{passage[: SHOWN - 1]}…"
        facts = [f"{source.length} bytes match"]
        if saved is not None:
            facts.append(f"the memory saved {saved[source.begin : source.end].sum():.1f} bits here")
        if source.copied:
            facts.append(f"a copy of {source.end - source.begin} bytes" + (f" ({source.licence})" if source.licence else ""))
        note(f"{source.name}:{source.line}: {passage!r} ({'; '.join(facts)})")
    if saved is not None:
        if not shown:
            note("no part of the text stands in an indexed file")
        note(f"the memory saved {saved.sum():.1f} bits in {len(written)} bytes")


def _standard_input() -> bytes:
    if sys.stdin.isatty():
        print_error_line("Type the prompt and end it with Ctrl-D on a line of its own:")
    return sys.stdin.buffer.read()
