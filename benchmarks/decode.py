"""How fast the engine reads and writes, beside PyTorch and beside llama.cpp on a llama of the same number of parameters.

All take turns in every round, and medians of ratios are quoted. llama.cpp is the build for this processor, without HTTP.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import typer

from benchmarks.command import Rounds, main
from benchmarks.llama_client import LlamaProcess, llama_process
from benchmarks.llama_file import llama_shape, write_byte_llama
from benchmarks.result import Result, Row, origin
from benchmarks.rss import ServingMemory, measure_rss, measure_start
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.engine.engine import Engine, load_engine
from multiscale_transformer.engine.prompt_scoring import ScoreRequest, engine_bits_per_byte
from multiscale_transformer.engine.scheduler import Request, Scheduler
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.export.gguf_file import quantize_file
from multiscale_transformer.machine import available_cores
from multiscale_transformer.memory.index import MEMORY_FOLDER
from multiscale_transformer.memory.lookup import CorpusMemory, open_memory
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.checkpoint import load_model, save_model
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.training.held_out import run_corpus
from multiscale_transformer.zoo.recipes import load_recipe

PROMPT, WRITTEN = 256, 128  # bytes before what is timed, and bytes that are
PREFILLED = 1024
MANY = (1, 4, 16)  # requests at once
ROUNDED, SCORED = 16, 1024  # files that rounding is measured on, and bytes of each
EAGER_WRITTEN = 24  # of PyTorch, which is slow and steady
QUANTS = ("F16", "Q8_0", "Q4_K_M")
_NO_END = {EOS: -100.0}

PEER = "llama.cpp Q4_K_M"  # what we are held against: the kind that people run
COLUMNS = ("1 at once", "4 at once", "16 at once", "prefill")


class Rate(Row):
    """Bytes per second of one candidate under one load, round by round."""

    name: str
    load: str
    rates: list[float]

    @property
    def median(self) -> float:
        """What is quoted."""
        return statistics.median(self.rates)


class FirstByte(Row):
    """Seconds to the first byte after a prompt that is new, and after one that was read before."""

    bytes: int | None = None
    cold: float
    warm: float


class Drafting(Row):
    """Bytes per second of a trained model on held-out code, with speculative decoding and without."""

    threads: int
    with_drafts: float
    without: float
    bytes_per_step: float


class Rounding(Row):
    """Bits per byte of a trained model in each width."""

    fp32: float
    bits_8: float
    bits_4: float
    bytes: int


class Trained(Row):
    """What needs a trained checkpoint with its memory."""

    drafting: Drafting
    rounding: Rounding
    first_byte: FirstByte
    rss: dict[str, ServingMemory]
    start_seconds: float


class DecodeResult(Result):
    """Rates of all candidates, and what was measured of a trained checkpoint."""

    kind: Literal["decode"] = "decode"
    model: str
    parameters: int
    rounds: int
    peer_build: str | None = None
    rows: list[Rate]
    first_byte: FirstByte | None = None
    trained: Trained | None = None


@dataclass(frozen=True)
class Timed:
    """One thing that can be timed: who, under which load, and a call that returns bytes per second."""

    name: str
    load: str
    rate: Callable[[], float]


def run(
    model: Annotated[str, typer.Option(metavar="NAME", help="A shipped model's shape; weights are random.")] = "AXL-Micro-Lion",
    trained: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A checkpoint with a memory, to measure drafts and rounding with.")
    ] = None,
    rounds: Rounds = 5,
    threads: Annotated[
        list[int] | None,
        typer.Option(metavar="N", min=1, help="Counts of threads (default: 1 and 2); a large model wants one."),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers/--no-peers", metavar="", help="Also llama.cpp, of the same size.")] = True,
    eager: Annotated[bool, typer.Option("--eager/--no-eager", metavar="", help="Also the reference in PyTorch.")] = True,
    prefix: Annotated[
        int, typer.Option(min=0, metavar="N", help="Bytes of a prompt after which the first byte is waited for; 0 for none.")
    ] = 8192,
) -> DecodeResult:
    """The compiled engine beside PyTorch and llama.cpp: bytes per second, alone and in batches, drafts, rounding, memory."""
    config, counts, build = load_recipe(model).model, threads or [1, 2], None
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch) / "ours"
        torch.manual_seed(0)
        network = _with_random_outputs(MultiScaleTransformer(config)).eval()
        save_model(network, folder)
        timed = [*_eager(network)] if eager else []
        for bits in (8, 4):
            for count in counts:
                engine = load_engine(folder, bits=bits, threads=count)
                stack.callback(engine.close)
                timed += _ours(engine, f"axl {bits} bits, {_threads(count)}")
        if peers:
            for kind, count, peer in _llamas(Path(scratch), config.parameters(), config.d_model, counts, stack):
                timed += _theirs(peer, f"llama.cpp {kind}, {_threads(count)}")
                build = peer.build
        rows = _interleaved(timed, rounds)
        first_byte = _after_prefix(network, Path(scratch), prefix, rounds) if prefix else None
    return DecodeResult(
        **origin("decode", max(counts)).model_dump(),
        model=model,
        parameters=config.parameters(),
        rounds=rounds,
        peer_build=build,
        rows=rows,
        first_byte=first_byte,
        trained=measure_trained(trained, rounds) if trained else None,
    )


def _after_prefix(model: MultiScaleTransformer, scratch: Path, prefix: int, rounds: int) -> FirstByte:
    """`time_to_first_byte` of the same weights with a context that is long enough."""
    longer = MultiScaleTransformer(model.config.model_copy(update={"max_seq_len": prefix + 64}))
    longer.load_state_dict(model.state_dict())
    save_model(longer, scratch / "longer")
    engine = load_engine(scratch / "longer", threads=available_cores())
    try:
        waited = time_to_first_byte(engine, torch.randint(0, 256, (prefix,)).tolist(), rounds)
        return waited.model_copy(update={"bytes": prefix})
    finally:
        engine.close()


def measure_trained(folder: Path, rounds: int) -> Trained:
    """What needs a trained checkpoint with its memory: drafts on held-out code, rounding, the first byte, and memory."""
    memory = open_memory([folder / MEMORY_FOLDER])
    held_out = run_corpus(folder).held_out
    texts = [held_out[index][:SCORED] for index in range(0, len(held_out), max(1, len(held_out) // ROUNDED))]
    cost = {bits: engine_bits_per_byte(load_engine(folder, bits=bits), texts, memory) for bits in (8, 4)}
    exact = score_documents(load_model(folder), [("", text) for text in texts], memory=memory).bits_per_byte
    engine = load_engine(folder)
    long = [*held_out[int(np.argmax(np.diff(held_out.offsets)))][: engine.config.max_seq_len - 8]]
    return Trained(
        drafting=_best_drafting(folder, memory, held_out, rounds),
        rounding=Rounding(fp32=exact, bits_8=cost[8], bits_4=cost[4], bytes=sum(map(len, texts))),
        first_byte=time_to_first_byte(engine, long, rounds),
        rss={f"{bits} bits": measure_rss(folder, bits) for bits in (8, 4)},
        start_seconds=measure_start(folder, rounds),
    )


def _best_drafting(folder: Path, memory: CorpusMemory, held_out: Documents, rounds: int) -> Drafting:
    """With the number of threads that is best with drafts, as for every candidate."""
    figures = []
    for threads in (1, 2):
        engine = load_engine(folder, threads=threads)
        figures.append(measure_drafting(engine, threads, memory, held_out, rounds))
        engine.close()
    return max(figures, key=lambda drafting: drafting.with_drafts)


def measure_drafting(engine: Engine, threads: int, memory: CorpusMemory, held_out: Documents, rounds: int) -> Drafting:
    """Median bytes per second on held-out code, with drafts and without, and how many bytes a step wrote."""
    rates: dict[bool, list[float]] = {True: [], False: []}
    scheduler, steps, written = Scheduler(engine), 0, 0
    for number in range(rounds):
        content = held_out[number * 7 % len(held_out)]
        begin = max(0, len(content) // 2 - 1000)
        prompt = [BOS] * (begin == 0) + list(content[begin : len(content) // 2])
        for draft, measured in rates.items():
            rate, count = _timed_request(scheduler, Request(prompt, _greedy(WRITTEN), memory, draft=draft))
            measured.append(rate)
            if draft:
                steps, written = steps + count, written + WRITTEN
    with_drafts, without = map(statistics.median, rates.values())
    return Drafting(threads=threads, with_drafts=with_drafts, without=without, bytes_per_step=written / steps)


def time_to_first_byte(engine: Engine, prompt: list[int], rounds: int) -> FirstByte:
    """Median seconds to the first byte after a prompt that nothing is known of, and after one that was read before."""
    cold: list[float] = []
    warm: list[float] = []
    scheduler = Scheduler(engine)
    for number in range(rounds):
        text = [BOS, number % 256, number // 256, *prompt]
        for times in (cold, warm):
            begin = time.perf_counter()
            stream = scheduler.stream(Request(text, _greedy(1)))
            next(stream)
            times.append(time.perf_counter() - begin)
            list(stream)
    return FirstByte(cold=statistics.median(cold), warm=statistics.median(warm))


def _ours(engine: Engine, name: str) -> Iterator[Timed]:
    scheduler = Scheduler(engine)
    prompt = [BOS, *(n * 7 % 256 for n in range(PROMPT))]
    for count in MANY:
        yield Timed(name, f"{count} at once", lambda count=count: _rate(scheduler, prompt, count))  # type: ignore[misc]
    yield Timed(name, "prefill", lambda: _prefill(scheduler))


def _rate(scheduler: Scheduler, prompt: list[int], count: int) -> float:
    """Bytes per second of `count` requests together, once all have read their prompts."""
    requests = [Request([*prompt, number], _greedy(WRITTEN)) for number in range(count)]
    for request in requests:
        scheduler.submit(request)
    writing: set[Request | ScoreRequest] = set()
    while len(writing) < count and scheduler.busy:
        writing |= {request for request, _ in scheduler.step()}
    begin, written = time.perf_counter(), 0
    while scheduler.busy:
        written += sum(len(piece.drawn) for _, piece in scheduler.step())
    return written / (time.perf_counter() - begin)


def _prefill(scheduler: Scheduler) -> float:
    prompt = torch.randint(0, 256, (PREFILLED,)).tolist()
    begin = time.perf_counter()
    list(scheduler.stream(Request(prompt, _greedy(1))))
    return PREFILLED / (time.perf_counter() - begin)


def _timed_request(scheduler: Scheduler, request: Request) -> tuple[float, int]:
    """Bytes per second after the first step that wrote, and the number of steps."""
    stream = scheduler.stream(request)
    next(stream)
    begin, written, steps = time.perf_counter(), 0, 1
    for piece in stream:
        written += len(piece.drawn)
        steps += 1
    return written / (time.perf_counter() - begin), steps


def _eager(model: MultiScaleTransformer) -> Iterator[Timed]:
    @torch.inference_mode()
    def rate() -> float:
        cache = Cache(model.config)
        model(torch.randint(0, 256, (1, PROMPT)), cache)
        begin = time.perf_counter()
        for _ in range(EAGER_WRITTEN):
            model(torch.randint(0, 256, (1, 1)), cache)
        return EAGER_WRITTEN / (time.perf_counter() - begin)

    def on(threads: int) -> float:
        torch.set_num_threads(threads)
        return rate()

    for threads in (1, 2):
        yield Timed(f"PyTorch eager, {_threads(threads)}", "1 at once", lambda threads=threads: on(threads))  # type: ignore[misc]


def _theirs(peer: LlamaProcess, name: str) -> Iterator[Timed]:
    yield Timed(name, "1 at once", lambda: 1 / peer.decode(WRITTEN, PROMPT))
    for count in MANY[1:]:
        yield Timed(name, f"{count} at once", lambda count=count: peer.decode_many(count, WRITTEN, PROMPT))  # type: ignore[misc]
    yield Timed(name, "prefill", lambda: 1 / peer.prefill(PREFILLED))


def _llamas(
    scratch: Path, parameters: int, width: int, threads: list[int], stack: ExitStack
) -> Iterator[tuple[str, int, LlamaProcess]]:
    plain = scratch / "llama-F16.gguf"
    write_byte_llama(plain, llama_shape(parameters, width), seed=0)
    for kind in QUANTS:
        path = scratch / f"llama-{kind}.gguf"
        if kind != "F16":
            quantize_file(plain, path, kind)  # type: ignore[arg-type]
        for count in threads:
            yield kind, count, stack.enter_context(llama_process(path, count, slots=max(MANY)))


def _interleaved(timed: list[Timed], rounds: int) -> list[Rate]:
    """Every candidate once a round; a round before the first is thrown away."""
    rows = [Rate(name=candidate.name, load=candidate.load, rates=[]) for candidate in timed]
    for number in range(rounds + 1):
        for candidate, row in zip(timed, rows, strict=True):
            rate = candidate.rate()
            if number:
                row.rates.append(rate)
    return rows


def _greedy(count: int) -> Sampling:
    return Sampling(temperature=0.0, max_new_tokens=count, logit_bias=_NO_END)


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


@torch.no_grad()
def _with_random_outputs(model: MultiScaleTransformer) -> MultiScaleTransformer:
    """Fresh output maps are zero; give them numbers, so that nothing is skipped or saved by zeros."""
    for parameter in model.parameters():
        if parameter.ndim > 1 and float(parameter.abs().max()) == 0.0:
            parameter.normal_(std=0.02)
    return model


def table(result: DecodeResult) -> str:
    """Bytes per second by candidate, and ratios to the best of llama.cpp in Q4_K_M."""
    rates = {(row.name, row.load): row.median for row in result.rows}
    lines = ["| bytes per second | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name in dict.fromkeys(row.name for row in result.rows):
        cells = (f"{rates[name, load]:,.0f}" if (name, load) in rates else "" for load in COLUMNS)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n\n"
    peer, ours, eager = (_best(result, name, "1 at once") for name in (PEER, "axl", "PyTorch"))
    if peer:
        text += f"One request: **{ours / peer:.1f} times** {PEER}, each at its best number of threads"
        text += f"; {ours / eager:.0f} times PyTorch eager" if eager else ""
        text += f"; 16 requests together write {_best(result, 'axl', '16 at once') / ours:.1f} times as much as one.\n"
    if result.first_byte:
        waited = result.first_byte
        text += (
            f"The first byte after {waited.bytes:,} bytes that were read before takes 1/{waited.cold / waited.warm:.0f} of "
            "that of new ones.\n"
        )
    if result.trained:
        text += _trained_sentences(result.trained, peer)
    build = f" llama.cpp is {result.peer_build}, called without HTTP." if result.peer_build else ""
    return text + f"\n{result.model}, {result.parameters:,} parameters, medians of {result.rounds} rounds.{build}\n"


def _best(result: DecodeResult, name: str, load: str) -> float:
    return max((row.median for row in result.rows if row.name.startswith(name) and row.load == load), default=0.0)


def _trained_sentences(trained: Trained, peer: float) -> str:
    drafting, rounding, waited, memory = trained.drafting, trained.rounding, trained.first_byte, trained.rss["4 bits"]
    share = f" ({drafting.with_drafts / peer:.1f} times {PEER})" if peer else ""
    return (
        f"\nWith drafts from its memory a trained one writes {drafting.with_drafts / drafting.without:.1f} times as fast on "
        f"held-out code{share}, {drafting.bytes_per_step:.0f} bytes a step. Rounding costs "
        f"{rounding.bits_8 - rounding.fp32:+.4f} bits per byte with 8 bits and {rounding.bits_4 - rounding.fp32:+.4f} with 4 "
        f"(on {rounding.bytes:,} held-out bytes). The first byte after a prompt that was read before takes "
        f"{waited.warm / waited.cold:.3f} of the time of a new one. A process that serves it in 4 bits holds "
        f"{memory.rss_bytes / 1e6:.0f} MB, {memory.imports_bytes / 1e6:.0f} of them imports; `axl complete` takes "
        f"{trained.start_seconds:.1f} s from start to end for one byte.\n"
    )


RESULT = DecodeResult

if __name__ == "__main__":
    main("decode")
