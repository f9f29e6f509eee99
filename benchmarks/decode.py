"""How fast the engine reads and writes, beside PyTorch and beside llama.cpp on a llama of the same number of parameters.

All contenders take turns in every round, and what is quoted are medians and ratios of them: this machine is shared. llama.cpp
runs in a process of its own; its model has random weights, as ours has where no checkpoint is given, for the speed does not
depend on them (but for drafts, which need a trained model and its memory: `measure_drafting`).
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.llama import LlamaProcess, llama_process
from benchmarks.llama_file import llama_shape, write_byte_llama
from benchmarks.resident import measure_resident, measure_start
from multiscale_transformer.data.corpus import load_corpus
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
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.sampling import Sampling
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.training.held_out import run_selection, run_sources

PROMPT, WRITTEN = 256, 128  # bytes before what is timed, and bytes that are
PREFILLED = 1024
MANY = (1, 4, 16)  # requests at once
ROUNDED, SCORED = 16, 1024  # files that rounding is measured on, and bytes of each
EAGER_WRITTEN = 24  # of PyTorch, which is slow and steady
QUANTS = ("F16", "Q8_0", "Q4_K_M")
_NO_END = {EOS: -100.0}

Rates = dict[str, list[float]]


@dataclass(frozen=True)
class Timed:
    """One thing that can be timed: its name, and a call that returns bytes per second."""

    name: str
    rate: Callable[[], float]


def measure_decoding(
    config: ModelConfig,
    rounds: int,
    *,
    threads: tuple[int, ...] = (1, 2),
    peers: bool = True,
    eager: bool = True,
    prefix: int = 0,
) -> dict[str, Any]:
    """Median bytes per second by contender, for a model of this shape with random weights.

    With `prefix` also the time to the first byte after a prompt of as many bytes, new and read before.
    """
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as open_ones:
        folder = Path(scratch) / "ours"
        torch.manual_seed(0)
        model = _with_a_say(MultiScaleTransformer(config)).eval()
        save_model(model, folder)
        timed = [*_eager(model)] if eager else []
        for bits in (8, 4):
            for count in threads:
                engine = load_engine(folder, bits=bits, threads=count)
                open_ones.callback(engine.close)
                timed += _ours(engine, f"axl {bits} bits, {_threads(count)}")
        if peers:
            for kind, count, peer in _llamas(Path(scratch), config.parameters(), config.d_model, threads, open_ones):
                timed += _theirs(peer, f"llama.cpp {kind}, {_threads(count)}")
        rates = _interleaved(timed, rounds)
        first_byte = _after_prefix(model, Path(scratch), prefix, rounds) if prefix else None
    return {
        "parameters": config.parameters(),
        "rounds": rounds,
        "bytes_per_second": {name: statistics.median(values) for name, values in rates.items()},
        "all": rates,
        **({"first_byte": first_byte} if first_byte else {}),
    }


def _after_prefix(model: MultiScaleTransformer, scratch: Path, prefix: int, rounds: int) -> dict[str, float]:
    """`time_to_first_byte` of the same weights with a context that is long enough."""
    longer = MultiScaleTransformer(model.config.model_copy(update={"max_seq_len": prefix + 64}))
    longer.load_state_dict(model.state_dict())
    save_model(longer, scratch / "longer")
    engine = load_engine(scratch / "longer", threads=available_cores())
    try:
        return {"bytes": prefix, **time_to_first_byte(engine, torch.randint(0, 256, (prefix,)).tolist(), rounds)}
    finally:
        engine.close()


def measure_trained(folder: Path, rounds: int) -> dict[str, Any]:
    """What needs a trained checkpoint with its memory: drafts on held-out code, rounding, the first byte, and memory."""
    memory = open_memory([folder / MEMORY_FOLDER])
    held_out = load_corpus(run_sources(folder), selection=run_selection(folder), without=[folder]).held_out
    texts = [held_out[index][:SCORED] for index in range(0, len(held_out), max(1, len(held_out) // ROUNDED))]
    cost = {bits: engine_bits_per_byte(load_engine(folder, bits=bits), texts, memory) for bits in (8, 4)}
    exact = score_documents(load_model(folder), [("", text) for text in texts], memory=memory).bits_per_byte
    engine = load_engine(folder)
    long = [*held_out[int(np.argmax(np.diff(held_out.offsets)))][: engine.config.max_seq_len - 8]]
    return {
        "drafting": _best_drafting(folder, memory, held_out, rounds),
        "rounding": {"fp32": exact, "8 bits": cost[8], "4 bits": cost[4], "bytes": sum(map(len, texts))},
        "first_byte": time_to_first_byte(engine, long, rounds),
        "resident": {f"{bits} bits": measure_resident(folder, bits) for bits in (8, 4)},
        "start_seconds": measure_start(folder, rounds),
    }


def _best_drafting(folder: Path, memory: CorpusMemory, held_out: Documents, rounds: int) -> dict[str, float]:
    """With the number of threads that is best with drafts, as for every contender."""
    found = []
    for threads in (1, 2):
        engine = load_engine(folder, threads=threads)
        found.append({"threads": threads, **measure_drafting(engine, memory, held_out, rounds)})
        engine.close()
    return max(found, key=lambda figures: figures["with drafts"])


def measure_drafting(engine: Engine, memory: CorpusMemory, held_out: Documents, rounds: int) -> dict[str, float]:
    """Median bytes per second on held-out code, with drafts and without, and how many bytes a step wrote."""
    rates: Rates = {"with drafts": [], "without": []}
    batcher, steps, written = Scheduler(engine), 0, 0
    for number in range(rounds):
        content = held_out[number * 7 % len(held_out)]
        begin = max(0, len(content) // 2 - 1000)
        prompt = [BOS] * (begin == 0) + list(content[begin : len(content) // 2])
        for name, draft in (("with drafts", True), ("without", False)):
            rate, count = _timed_request(batcher, Request(prompt, _greedy(WRITTEN), memory, draft=draft))
            rates[name].append(rate)
            if draft:
                steps, written = steps + count, written + WRITTEN
    return {**{name: statistics.median(values) for name, values in rates.items()}, "bytes_per_step": written / steps}


def time_to_first_byte(engine: Engine, prompt: list[int], rounds: int) -> dict[str, float]:
    """Median seconds to the first byte after a prompt that nothing is known of, and after one that was read before."""
    cold: list[float] = []
    warm: list[float] = []
    batcher = Scheduler(engine)
    for number in range(rounds):
        text = [BOS, number % 256, number // 256, *prompt]
        for times in (cold, warm):
            begin = time.perf_counter()
            stream = batcher.stream(Request(text, _greedy(1)))
            next(stream)
            times.append(time.perf_counter() - begin)
            list(stream)
    return {"cold": statistics.median(cold), "warm": statistics.median(warm)}


def _ours(engine: Engine, name: str) -> Iterator[Timed]:
    batcher = Scheduler(engine)
    prompt = [BOS, *(n * 7 % 256 for n in range(PROMPT))]
    for count in MANY:
        yield Timed(f"{name}, {count} at once", lambda count=count: _rate(batcher, prompt, count))  # type: ignore[misc]
    yield Timed(f"{name}, prefill", lambda: _prefill(batcher))


def _rate(batcher: Scheduler, prompt: list[int], count: int) -> float:
    """Bytes per second of `count` requests together, once all have read their prompts."""
    requests = [Request([*prompt, number], _greedy(WRITTEN)) for number in range(count)]
    for request in requests:
        batcher.submit(request)
    writing: set[Request | ScoreRequest] = set()
    while len(writing) < count and batcher.busy:
        writing |= {request for request, _ in batcher.step()}
    begin, written = time.perf_counter(), 0
    while batcher.busy:
        written += sum(len(piece.drawn) for _, piece in batcher.step())
    return written / (time.perf_counter() - begin)


def _prefill(batcher: Scheduler) -> float:
    prompt = torch.randint(0, 256, (PREFILLED,)).tolist()
    begin = time.perf_counter()
    list(batcher.stream(Request(prompt, _greedy(1))))
    return PREFILLED / (time.perf_counter() - begin)


def _timed_request(batcher: Scheduler, request: Request) -> tuple[float, int]:
    """Bytes per second after the first step that wrote, and the number of steps."""
    stream = batcher.stream(request)
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
        yield Timed(f"PyTorch eager, {_threads(threads)}, 1 at once", lambda threads=threads: on(threads))  # type: ignore[misc]


def _theirs(peer: LlamaProcess, name: str) -> Iterator[Timed]:
    yield Timed(f"{name}, 1 at once", lambda: 1 / peer.decode(WRITTEN, PROMPT))
    for count in MANY[1:]:
        yield Timed(f"{name}, {count} at once", lambda count=count: peer.decode_many(count, WRITTEN, PROMPT))  # type: ignore[misc]
    yield Timed(f"{name}, prefill", lambda: 1 / peer.prefill(PREFILLED))


def _llamas(
    scratch: Path, parameters: int, width: int, threads: tuple[int, ...], open_ones: ExitStack
) -> Iterator[tuple[str, int, LlamaProcess]]:
    plain = scratch / "llama-F16.gguf"
    write_byte_llama(plain, llama_shape(parameters, width), seed=0)
    for kind in QUANTS:
        path = scratch / f"llama-{kind}.gguf"
        if kind != "F16":
            quantize_file(plain, path, kind)  # type: ignore[arg-type]
        for count in threads:
            yield kind, count, open_ones.enter_context(llama_process(path, count, slots=max(MANY)))


def _interleaved(timed: list[Timed], rounds: int) -> Rates:
    """Every contender once a round; a round before the first is thrown away."""
    rates: Rates = {contender.name: [] for contender in timed}
    for number in range(rounds + 1):
        for contender in timed:
            rate = contender.rate()
            if number:
                rates[contender.name].append(rate)
    return rates


def _greedy(count: int) -> Sampling:
    return Sampling(temperature=0.0, max_new_tokens=count, logit_bias=_NO_END)


def _threads(count: int) -> str:
    return f"{count} thread" if count == 1 else f"{count} threads"


@torch.no_grad()
def _with_a_say(model: MultiScaleTransformer) -> MultiScaleTransformer:
    """Fresh output maps are zero; give them numbers, so that nothing is skipped or saved by zeros."""
    for parameter in model.parameters():
        if parameter.ndim > 1 and float(parameter.abs().max()) == 0.0:
            parameter.normal_(std=0.02)
    return model
