"""Bytes beside BPE, without a memory: the same net, the same minutes, and the bits per byte of the same files.

The tokenizer is a byte-level BPE of Hugging Face's `tokenizers`, learnt from the training files. Its merged tokens get ids
behind those of the bytes, so the windows, the loss and the optimizer are those of every other run. A token stands for several
bytes, so its net reads more text in the same time and sees further back, and pays with a larger table. A memory is made of
bytes and has no counterpart here. Nothing is rearranged for fill-in-the-middle, whose marks are bytes.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer
from pydantic import Field
from torch.nn import functional as F

from benchmarks.command import LIBRARY, Data, Results, Seeds, results_file
from benchmarks.command import main as run_command
from benchmarks.comparison import FLAT, corpus_of
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Minutes, Threads
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.statistics import summary, verdict
from multiscale_transformer.machine import available_cores, available_ram
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS, VOCAB_SIZE
from multiscale_transformer.training.machine import compute_dtype
from multiscale_transformer.training.settings import TrainSettings, batch_for, stages_for
from multiscale_transformer.training.trainer import Trainer

BYTES = 256
ROWS = 4  # windows that are scored at once


class BpeRun(Row):
    """One trained net; `merges` is 0 for bytes."""

    merges: int
    seed: int
    parameters: int
    bytes_per_token: float
    bytes_read: float
    bits_per_byte: float


class BpeResult(Result):
    """All nets over all seeds."""

    kind: Literal["bpe"] = "bpe"
    minutes: float
    rows: list[BpeRun] = Field(default_factory=list)


def run(
    minutes: Minutes = 3.0,
    seeds: Seeds = 3,
    merges: Annotated[
        list[int] | None, typer.Option(min=1, metavar="N", help="Merges of a tokenizer (default: 768, 3840).")
    ] = None,
    data: Data = None,
    threads: Threads = None,
    results: Results = None,
) -> BpeResult:
    """Bytes beside BPE at equal wall-clock, without a memory."""
    path, threads = results or results_file("bpe"), threads or available_cores()
    corpus = corpus_of(data or LIBRARY)
    result = BpeResult.read(path) if path.exists() else BpeResult(**origin("bpe", threads).model_dump(), minutes=minutes)
    for seed in range(seeds):
        for count in (0, *(merges or (768, 3840))):
            if not any((row.merges, row.seed) == (count, seed) for row in result.rows):
                result.rows.append(_trained(corpus, count, minutes, threads, seed))
                result.write(path)
    return result


def encoder(documents: Documents, merges: int) -> Callable[[bytes], list[int]]:
    """What makes ids of a text: its bytes, or the tokens of a BPE of so many merges that is learnt from the documents.

    Raises AxlError where tokenizers is not installed.
    """
    if not merges:
        return list
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ImportError:
        raise AxlError("this comparison needs tokenizers: pip install 'axl[bench]'") from None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=BYTES + merges, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator((content.decode(errors="replace") for _, content in documents), trainer)

    def encode(text: bytes) -> list[int]:
        ids = tokenizer.encode(text.decode(errors="replace")).ids
        return [number if number < BYTES else number + VOCAB_SIZE - BYTES for number in ids]

    return encode


def _trained(corpus: Corpus, merges: int, minutes: float, threads: int, seed: int) -> BpeRun:
    encode = encoder(corpus.train, merges)
    tokens = _encoded(corpus.train, encode)
    config = FLAT.model_copy(update={"vocab_size": VOCAB_SIZE + merges})
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model = MultiScaleTransformer(config)
    model.compute_dtype = compute_dtype(threads)
    settings = TrainSettings(
        minutes=minutes,
        threads=threads,
        seed=seed,
        batch_bytes=batch_for(config),
        stages=stages_for(config, tokens.nbytes),
        fim_rate=0.0,
    )
    trainer = Trainer(model, config, tokens, settings, available_ram())
    trainer.run(())
    per_token = corpus.train.nbytes / tokens.nbytes
    return BpeRun(
        merges=merges,
        seed=seed,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        bytes_per_token=per_token,
        bytes_read=trainer.progress.bytes * per_token,
        bits_per_byte=_bits_per_byte(model, config, corpus.held_out, encode),
    )


def _encoded(documents: Documents, encode: Callable[[bytes], list[int]]) -> Documents:
    """The documents as ids; what counts bytes in them counts ids."""
    contents = [np.array(encode(content), np.int32) for _, content in documents]
    offsets = np.zeros(len(contents) + 1, np.int64)
    np.cumsum([len(content) for content in contents], out=offsets[1:])
    data: Any = np.concatenate(contents)
    return Documents(data, offsets, list(documents.names))


def _bits_per_byte(
    model: MultiScaleTransformer, config: ModelConfig, documents: Documents, encode: Callable[[bytes], list[int]]
) -> float:
    """Bits of all documents over their bytes; every id but the first ones of a document sees at least half a window."""
    model.eval()
    nats, count = 0.0, 0
    for _, content in documents:
        ids = [BOS, *encode(content)]
        count += len(content)
        for windows, fresh in _windows(ids, config.max_seq_len):
            with torch.inference_mode():
                logits_BTV = model(torch.tensor([window[:-1] for window in windows]))
                losses_BT = F.cross_entropy(
                    logits_BTV.transpose(1, 2), torch.tensor([window[1:] for window in windows]), reduction="none"
                )
            nats += sum(float(losses_T[-new:].double().sum()) for losses_T, new in zip(losses_BT, fresh, strict=True))
    return nats / math.log(2) / max(1, count)


def _windows(ids: Sequence[int], longest: int) -> Iterator[tuple[list[Sequence[int]], list[int]]]:
    """Windows of equal length, some at a time, with how many ids at the end of each no window before it has predicted."""
    batch: list[Sequence[int]] = []
    fresh: list[int] = []
    done = 1  # ids that are predicted, BOS among them
    while done < len(ids):
        end = min(len(ids), max(done + longest // 2, longest + 1) if done > 1 else longest + 1)
        window = ids[max(0, end - longest - 1) : end]
        if batch and len(batch[-1]) != len(window):
            yield batch, fresh
            batch, fresh = [], []
        batch.append(window)
        fresh.append(end - done)
        done = end
        if len(batch) == ROWS:
            yield batch, fresh
            batch, fresh = [], []
    if batch:
        yield batch, fresh


def table(result: BpeResult) -> str:
    """A row for each vocabulary, and whether the best of them differs from bytes beyond the spread."""
    by_merges = {
        merges: [row for row in result.rows if row.merges == merges] for merges in sorted({r.merges for r in result.rows})
    }
    lines = ["| ids | held-out bits per byte | parameters | bytes a token | MB read |", "|---|---:|---:|---:|---:|"]
    for merges, rows in by_merges.items():
        name = f"BPE, {merges:,} merges" if merges else "bytes"
        read = statistics.fmean(row.bytes_read for row in rows) / 1e6
        cells = [summary([row.bits_per_byte for row in rows]), f"{rows[0].parameters:,}", f"{rows[0].bytes_per_token:.2f}"]
        lines.append(f"| {name} | {' | '.join(cells)} | {read:.1f} |")
    text = "\n".join(lines) + "\n"
    others = {merges: [row.bits_per_byte for row in rows] for merges, rows in by_merges.items() if merges}
    if others and 0 in by_merges:
        best = min(others, key=lambda merges: statistics.fmean(others[merges]))
        text += f"\n{verdict(f'BPE, {best:,} merges', others[best], 'bytes', [row.bits_per_byte for row in by_merges[0]])}\n"
    return text + f"\n{result.minutes:g} minutes a run, {result.machine.threads} threads, flat stack of 3 layers, no memory.\n"


RESULT = BpeResult

if __name__ == "__main__":
    run_command("bpe")
