"""What an export keeps of a model, measured in stock llama.cpp on held-out text: `axl bench export`."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.judge import Llama
from multiscale_transformer.data.corpus import Corpus
from multiscale_transformer.evaluation.bits_per_byte import score_documents
from multiscale_transformer.export.gguf import KINDS, export_gguf, report
from multiscale_transformer.export.gguf_file import Kind, Quantized
from multiscale_transformer.export.qwen3 import stack_of
from multiscale_transformer.memory.index import build_index
from multiscale_transformer.memory.lookup import CorpusMemory
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS, EOS
from multiscale_transformer.training.distill import DistillationTrainer
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names

PROMPTS, GREEDY_BYTES = 20, 200


def measure_export(folder: Path, corpus: Corpus, files: int, file_bytes: int, distill_minutes: float = 0) -> dict[str, Any]:
    """Bits per byte of the files' beginnings: the whole model with memory and without, its exit, and every kind in llama.cpp.

    With it the largest relative error of the F16 file's logits, of how many of 20 prompts the greedy text of 200 bytes is the
    same, and, with `distill_minutes`, what the file of a student is worth. The memory is an index of the training files.
    """
    model, held_out = load_model(folder), corpus.held_out
    step = max(1, len(held_out) // files)
    texts = [held_out[index][:file_bytes] for index in range(0, len(held_out), step)][:files]
    documents = [(str(number), text) for number, text in enumerate(texts)]
    whole = {"whole": score_documents(model, documents).bits_per_byte}
    figures: dict[str, Any] = {"bytes": sum(map(len, texts)), "bits_per_byte": whole, "kinds": {}}
    with tempfile.TemporaryDirectory() as place:
        if model.config.memory:
            memory = CorpusMemory(build_index(Path(place) / "index", corpus.train).shards)
            whole["whole, with memory"] = score_documents(model, documents, memory=memory).bits_per_byte
        for path, found in export_gguf(folder, Path(place), "export", KINDS):
            llama = Llama(path, model.config.max_seq_len)
            whole[found.kind] = _bits(llama, texts)
            figures["kinds"][found.kind] = {"bits_per_weight": found.bits_per_weight, "fallbacks": _fallbacks(found)}
            if found.kind == "F16":
                figures |= _compared(model, llama, texts)
        if distill_minutes:
            student = DistillationTrainer(folder).train(corpus, 60 * distill_minutes, Path(place) / "student")
            figures["distilled"] = {"minutes": distill_minutes} | {
                found.kind: _bits(Llama(path, model.config.max_seq_len), texts)
                for path, found in export_gguf(student, Path(place), "student", ["F16", "Q4_K_M"])
            }
    return figures


def zoo_sizes(kind: Kind = "Q4_K_M") -> dict[str, dict[str, Any]]:
    """For every shape of the zoo: weights of the exported file, bits a weight, and what is wider than the kind wants."""
    sizes = {}
    for recipe in sorted(map(load_recipe, recipe_names()), key=lambda recipe: recipe.model.parameters()):
        with torch.device("meta"):
            shapes = MultiScaleTransformer(recipe.model).state_dict()
        empty = {name: np.zeros(tuple(tensor.shape), np.float32) for name, tensor in shapes.items()}
        found = report(stack_of(recipe.model, empty), kind)
        sizes[recipe.name] = {
            "d_model": recipe.model.d_model,
            "weights": found.weights,
            "bits_per_weight": found.bits_per_weight,
            "fallbacks": _fallbacks(found),
        }
    return sizes


def _fallbacks(found: Quantized) -> str:
    return f"{len(found.fallbacks)} of {found.matrices}"


def _bits(llama: Llama, texts: Sequence[bytes]) -> float:
    nats = 0.0
    for text in texts:
        ids = [BOS, *text]
        nats -= sum(llama.logprobs(ids[:at])[ids[at]] for at in range(1, len(ids)))
    return nats / math.log(2) / sum(map(len, texts))


def _compared(model: MultiScaleTransformer, llama: Llama, texts: Sequence[bytes]) -> dict[str, float]:
    """The file beside our own exit: logits up to their mean, and greedy texts."""
    worst, same, exits = 0.0, 0, 0.0
    for number in range(PROMPTS):
        text = texts[number % len(texts)]
        begin = 40 * (number // len(texts))
        ids = [BOS, *text[begin : begin + 80]]
        ours_V, theirs_V = _centred(_logits(model, ids)), _centred(llama.logprobs(ids))
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
