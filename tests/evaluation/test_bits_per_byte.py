"""Bits per byte is the plain sum over every byte, each seen with the context that is documented."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from torch import Tensor

from model.test_rule_of_time import SHAPES, lively
from multiscale_transformer.evaluation import bits_per_byte as scoring
from multiscale_transformer.evaluation.bits_per_byte import Score, score_documents
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import BOS, VOCAB_SIZE
from tiny import TINY, words


class Fake:
    """Stands in for a model: logits are a function of the ids (B, T), and the largest call is noted."""

    device = torch.device("cpu")

    def __init__(self, logits: Callable[[Tensor], Tensor]) -> None:
        self.config = TINY
        self.largest = 0
        self._logits = logits

    def states(self, ids_BT: Tensor, *, features: None) -> tuple[Tensor, Tensor]:
        self.largest = max(self.largest, ids_BT.numel())
        logits = self._logits(ids_BT)
        return logits, logits

    def head(self, logits: Tensor, features: None) -> Tensor:
        return logits


def uniform(ids_BT: Tensor) -> Tensor:
    return torch.zeros(*ids_BT.shape, VOCAB_SIZE)


def read_before(position: int, context: int) -> int:
    """How many ids (BOS is one) a model reads before the byte at `position`, by the words of the module.

    The first window scores `context` bytes. Each later one begins half a context before the first byte that it scores.
    """
    if position < context:
        return position + 1
    half = context // 2
    return half + 1 + (position - context) % (context - half)


def by_hand(model: MultiScaleTransformer, content: bytes, context: int) -> float:
    bits, ids = 0.0, [BOS, *content]
    for position, byte in enumerate(content):
        seen = ids[position + 1 - read_before(position, context) : position + 1]
        with torch.inference_mode():
            chances_V = model(torch.tensor([seen]))[0, -1].double().softmax(-1)
        bits -= math.log2(float(chances_V[byte]))
    return bits


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("context", [1, 7, 16])
def test_the_score_is_the_sum_byte_by_byte(shape: str, context: int) -> None:
    model = lively(SHAPES[shape], torch.float64)
    documents = [("a", words(2)), ("b", b""), ("c", b"x"), ("d", bytes(range(16))), ("e", bytes(range(17)))]
    score = score_documents(model, documents, context=context)
    assert score.bytes == sum(len(content) for _, content in documents)
    assert score.bits == pytest.approx(sum(by_hand(model, content, context) for _, content in documents), rel=1e-5)


def test_the_context_is_the_model_s_own_unless_another_is_asked_for() -> None:
    """A longer context than the model was trained with is allowed."""
    config = SHAPES["published"].model_copy(update={"max_seq_len": 16})
    model, text = lively(config, torch.float64), words(5)
    assert score_documents(model, [("a", text)]).bits == pytest.approx(by_hand(model, text, 16), rel=1e-5)
    assert score_documents(model, [("a", text)], context=64).bits == pytest.approx(by_hand(model, text, 64), rel=1e-5)
    assert by_hand(model, text, 16) != pytest.approx(by_hand(model, text, 64), rel=1e-3)


@pytest.mark.parametrize("batch_bytes", [1, 40, 8192])
def test_batching_and_order_change_nothing(batch_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively(SHAPES["published"], torch.float64)
    documents = [(str(lines), words(lines, seed=lines)) for lines in (1, 4, 2, 7)]
    alone = [score_documents(model, [document], context=32) for document in documents]
    monkeypatch.setattr(scoring, "BATCH_BYTES", batch_bytes)
    together = score_documents(model, reversed(documents), context=32)
    assert together.bytes == sum(score.bytes for score in alone)
    assert together.bits == pytest.approx(sum(score.bits for score in alone), rel=1e-5)


@given(lengths=st.lists(st.integers(0, 200), max_size=12), context=st.integers(1, 80), batch=st.integers(1, 400))
@hypothesis_settings(max_examples=60)
def test_every_byte_counts_once_and_a_uniform_guess_costs_the_log_of_the_alphabet(
    lengths: list[int], context: int, batch: int
) -> None:
    told: list[int] = []
    fake = Fake(uniform)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scoring, "BATCH_BYTES", batch)
        documents = ((str(index), bytes(length)) for index, length in enumerate(lengths))
        score = score_documents(fake, documents, context=context, on_bytes=told.append)  # type: ignore[arg-type]
    assert score.bytes == sum(told) == sum(lengths)
    assert score.bits == pytest.approx(sum(lengths) * math.log2(VOCAB_SIZE), rel=1e-6)
    assert fake.largest <= max(batch, context)


@given(length=st.integers(1, 300), context=st.integers(1, 90))
def test_a_byte_is_predicted_from_everything_or_at_least_half_a_context(length: int, context: int) -> None:
    """A fake whose certainty is the number of ids that it has read tells what each byte was predicted from."""

    def certainty(ids_BT: Tensor) -> Tensor:
        logits = torch.full((*ids_BT.shape, VOCAB_SIZE), -torch.inf)
        logits[:, :, 0] = 0.0  # every byte is 0 ...
        logits[:, :, 1] = torch.arange(1, ids_BT.shape[1] + 1).log()  # ... and has the chance 1 / (1 + ids read)
        return logits

    bits = score_documents(Fake(certainty), [("zeros", bytes(length))], context=context).bits  # type: ignore[arg-type]
    read = [read_before(position, context) for position in range(length)]
    assert bits == pytest.approx(sum(math.log2(1 + count) for count in read), rel=1e-5)
    assert all(count >= min(position + 1, context // 2 + 1) for position, count in enumerate(read))
    assert max(read) <= context


def test_a_document_is_scored_as_its_own_beginning() -> None:
    """Nothing of one document may help with the next."""
    model = lively(SHAPES["published"], torch.float64)
    text = words(3)
    one, two = (score_documents(model, [("a", text)] * count) for count in (1, 2))
    assert two.bits == pytest.approx(2 * one.bits)


def test_no_bytes_cost_nothing_and_have_no_mean() -> None:
    model = lively(SHAPES["flat"])
    for documents in ([], [("empty", b"")]):
        assert score_documents(model, documents) == Score(0.0, 0)
    assert math.isnan(Score(0.0, 0).bits_per_byte)
    assert Score(12.0, 8).bits_per_byte == 1.5
