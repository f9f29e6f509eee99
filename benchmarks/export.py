"""What an export keeps of a model, measured in stock llama.cpp on held-out text."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import typer

from benchmarks.command import LIBRARY, Data, main
from benchmarks.comparison import corpus_of
from benchmarks.llama_client import LlamaClient
from benchmarks.result import Result, Row, origin
from multiscale_transformer.cli.options import Checkpoint
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.export.fine_stack import stack_of
from multiscale_transformer.export.gguf import KINDS, export_gguf, report
from multiscale_transformer.export.gguf_file import Kind, Quantized
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.training.distill import DistillationTrainer
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names
from multiscale_transformer.zoo.shipped import shipped_model

PROMPTS, GREEDY_BYTES = 20, 200


class KindCost(Row):
    """What a kind of file comes to."""

    bits_per_weight: float
    fallbacks: str


class Distilled(Row):
    """Bits per byte of a student's files, by kind."""

    minutes: float
    bits_per_byte: dict[str, float]


class Exported(Row):
    """Bits per byte of the whole model and of every kind in llama.cpp, and how near F16 is to our own auxiliary head."""

    bytes: int
    bits_per_byte: dict[str, float]
    kinds: dict[str, KindCost]
    largest_error: float
    same_greedy: float
    exit: float
    distilled: Distilled | None = None


class ZooSize(Row):
    """The exported file of a model of the zoo."""

    d_model: int
    weights: int
    bits_per_weight: float
    fallbacks: str


class ExportResult(Result):
    """The files of a model, and the sizes of the zoo's."""

    kind: Literal["export"] = "export"
    model: int
    peer_build: str | None = None
    exported: Exported
    sizes: dict[str, ZooSize]


def run(
    model: Checkpoint = shipped_model(),  # noqa: B008 (a path, made once)
    data: Data = None,
    held_out_files: Annotated[int, typer.Option("--files", metavar="N", min=1, help="Held-out files.")] = 16,
    file_bytes: Annotated[int, typer.Option(metavar="N", min=100, help="Bytes of each, from its beginning.")] = 800,
    distill: Annotated[float, typer.Option(metavar="M", min=0, help="Minutes to distil a student for; 0 for none.")] = 10.0,
) -> ExportResult:
    """What the exported files keep of a model, in stock llama.cpp on held-out text."""
    exported, build = measure_export(model, corpus_of(data or LIBRARY), held_out_files, file_bytes, distill)
    return ExportResult(
        **origin("export", 1).model_dump(),
        model=load_model(model).config.parameters(),
        peer_build=build,
        exported=exported,
        sizes=zoo_sizes(),
    )


def measure_export(
    folder: Path, corpus: Corpus, files: int, file_bytes: int, distill_minutes: float = 0
) -> tuple[Exported, str]:
    """Bits per byte of the files' beginnings: the whole model with memory and without, its exit, and every kind in llama.cpp.

    With it the largest relative error of the F16 file's logits, of how many of 20 prompts the greedy text of 200 bytes is the
    same, and, with `distill_minutes`, what the file of a student is worth. The memory is an index of the training files. Also
    returns the build of llama.cpp.
    """
    model, held_out = load_model(folder), corpus.held_out
    step = max(1, len(held_out) // files)
    texts = [held_out[index][:file_bytes] for index in range(0, len(held_out), step)][:files]
    documents = [(str(number), text) for number, text in enumerate(texts)]
    bits = {"whole": score_documents(model, documents).bits_per_byte}
    kinds: dict[str, KindCost] = {}
    compared, build, distilled = dict[str, float](), "", None
    with tempfile.TemporaryDirectory() as place:
        if model.config.memory:
            memory = CorpusMemory(build_index(Path(place) / "index", corpus.train).shards)
            bits["whole, with memory"] = score_documents(model, documents, memory=memory).bits_per_byte
        for path, quantized in export_gguf(folder, Path(place), "export", KINDS):
            with LlamaClient(path, context=_context(model)) as llama:
                bits[quantized.kind], build = _bits(llama, texts), llama.build
                if quantized.kind == "F16":
                    compared = _compared(model, llama, texts)
            kinds[quantized.kind] = KindCost(bits_per_weight=quantized.bits_per_weight, fallbacks=_fallbacks(quantized))
        if distill_minutes:
            student = DistillationTrainer(folder).train(corpus, 60 * distill_minutes, Path(place) / "student")
            of_student = {}
            for path, quantized in export_gguf(student, Path(place), "student", ["F16", "Q4_K_M"]):
                with LlamaClient(path, context=_context(model)) as llama:
                    of_student[quantized.kind] = _bits(llama, texts)
            distilled = Distilled(minutes=distill_minutes, bits_per_byte=of_student)
    exported = {"bytes": sum(map(len, texts)), "bits_per_byte": bits, "kinds": kinds, "distilled": distilled, **compared}
    return Exported.model_validate(exported), build


def zoo_sizes(kind: Kind = "Q4_K_M") -> dict[str, ZooSize]:
    """For every shape of the zoo: weights of the exported file, bits a weight, and what is wider than the kind wants."""
    sizes = {}
    for recipe in sorted(map(load_recipe, recipe_names()), key=lambda recipe: recipe.model.parameters()):
        with torch.device("meta"):
            shapes = MultiScaleTransformer(recipe.model).state_dict()
        empty = {name: np.zeros(tuple(tensor.shape), np.float32) for name, tensor in shapes.items()}
        planned = report(stack_of(recipe.model, empty), kind)
        sizes[recipe.name] = ZooSize(
            d_model=recipe.model.d_model,
            weights=planned.weights,
            bits_per_weight=planned.bits_per_weight,
            fallbacks=_fallbacks(planned),
        )
    return sizes


def _context(model: MultiScaleTransformer) -> int:
    return model.config.max_seq_len


def _fallbacks(quantized: Quantized) -> str:
    return f"{len(quantized.fallbacks)} of {quantized.matrices}"


def _bits(llama: LlamaClient, texts: Sequence[bytes]) -> float:
    nats = 0.0
    for text in texts:
        nats -= float(llama.logprobs([BOS, *text[:-1]])[np.arange(len(text)), list(text)].sum())
    return nats / math.log(2) / sum(map(len, texts))


def _compared(model: MultiScaleTransformer, llama: LlamaClient, texts: Sequence[bytes]) -> dict[str, float]:
    """The file beside our own exit: logits up to their mean, and greedy texts."""
    worst, same, exits = 0.0, 0, 0.0
    for number in range(PROMPTS):
        text = texts[number % len(texts)]
        begin = 40 * (number // len(texts))
        ids = [BOS, *text[begin : begin + 80]]
        ours_V, theirs_V = _centred(_logits(model, ids)), _centred(llama.logprobs(ids)[-1])
        worst = max(worst, float(np.abs(ours_V - theirs_V).max() / np.abs(ours_V).max()))
        same += _greedy(model, ids) == llama.greedy(ids, GREEDY_BYTES)
    for text in texts:
        logits_TV = torch.from_numpy(_all_logits(model, [BOS, *text[:-1]]))
        exits += float(torch.nn.functional.cross_entropy(logits_TV, torch.tensor(list(text)), reduction="sum"))
    return {"largest_error": worst, "same_greedy": same / PROMPTS, "exit": exits / math.log(2) / sum(map(len, texts))}


def _all_logits(model: MultiScaleTransformer, ids: Sequence[int]) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        return model.head(model.states(torch.tensor([list(ids)]))[1])[0].numpy()


def _logits(model: MultiScaleTransformer, ids: Sequence[int]) -> np.ndarray[Any, Any]:
    return _all_logits(model, ids)[-1].astype(np.float64)  # type: ignore[no-any-return]


def _centred(logits_V: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return logits_V - logits_V.mean()  # type: ignore[no-any-return]


def _greedy(model: MultiScaleTransformer, ids: Sequence[int]) -> list[int]:
    """llama.cpp was told that the text does not end, so neither does ours."""
    text = list(ids)
    for _ in range(GREEDY_BYTES):
        text.append(int(_all_logits(model, text)[-1, :EOS].argmax()))
    return text[len(ids) :]


def table(result: ExportResult) -> str:
    """What exported files keep of a trained model, and what every size of the zoo comes to in Q4_K_M."""
    figures, bits = result.exported, result.exported.bits_per_byte
    whole = bits["whole"]
    lines = ["| held-out text | bits per byte | of the whole model | bits a weight |", "|---|---:|---:|---:|"]

    def row(label: str, cost: float, kind: str = "") -> str:
        weight = f"{figures.kinds[kind].bits_per_weight:.2f} " if kind else ""
        return f"| {label} | {cost:.3f} | {cost / whole - 1:+.1%} | {weight}|"

    if "whole, with memory" in bits:
        lines.append(row("the whole model and its memory, in AXL", bits["whole, with memory"]))
    lines.append(row("the whole model alone, in AXL", whole))
    lines += [row(f"{kind} in llama.cpp", bits[kind], kind) for kind in figures.kinds]
    student = figures.distilled
    if student:
        for kind in filter(student.bits_per_byte.__contains__, figures.kinds):
            label = f"{kind} in llama.cpp, distilled for {student.minutes:g} minutes"
            lines.append(row(label, student.bits_per_byte[kind], kind))
    text = "\n".join(lines) + "\n\n"
    text += (
        f"F16 in llama.cpp against the fine stack's exit in AXL: {bits['F16'] / figures.exit - 1:+.2%} bits per byte, "
        f"largest relative error of a logit {figures.largest_error:.1e}, the same greedy 200 bytes for "
        f"{figures.same_greedy:.0%} of 20 prompts. Q4_K_M over F16: {bits['Q4_K_M'] / bits['F16'] - 1:+.1%}. "
        f"{result.model:,} parameters, {figures.bytes:,} held-out bytes.\n\n"
    )
    head = ["| in Q4_K_M | d_model | weights in the file | bits a weight | fell back |", "|---|---:|---:|---:|---:|"]
    sizes = [
        f"| {name} | {size.d_model} | {size.weights:,} | {size.bits_per_weight:.2f} | {size.fallbacks} |"
        for name, size in result.sizes.items()
    ]
    return text + "\n".join(head + sizes) + "\n"


RESULT = ExportResult

if __name__ == "__main__":
    main("export")
