"""The memories change the logits of the bytes they name, when they are asked, and nothing before."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.test_rule_of_time import SHAPES, lively
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.generate import Sampling, stream_ids
from multiscale_transformer.model.memory_spec import (
    CANDIDATE_COUNT,
    COUNT_BINS,
    NO_CANDIDATE,
    NUM_CONTEXT_LENGTHS,
    NUM_CORPUS_LENGTHS,
    NUM_ORDERS,
)
from multiscale_transformer.model.memory_tensors import MemoryTensors, joined, no_features
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.vocabulary import VOCAB_SIZE
from multiscale_transformer.model.window import window_start

T = 24


def with_memory(shape: str = "published", dtype: torch.dtype = torch.float64) -> MultiScaleTransformer:
    return lively(SHAPES[shape].model_copy(update={"memory": True}), dtype)


def random_recall(positions: int = T, rows: int = 1, seed: int = 0) -> MemoryTensors:
    random = torch.Generator().manual_seed(seed)
    order = torch.rand(rows, positions, VOCAB_SIZE, generator=random).argsort(-1)[..., :CANDIDATE_COUNT].short()
    count = torch.randint(0, CANDIDATE_COUNT + 1, (rows, positions, 1), generator=random)
    order[torch.arange(CANDIDATE_COUNT) >= count] = NO_CANDIDATE
    states = torch.randint(0, COUNT_BINS, (rows, positions, CANDIDATE_COUNT, NUM_ORDERS), generator=random, dtype=torch.uint8)
    depths = [torch.randint(0, most, (rows, positions), generator=random) for most in (NUM_CORPUS_LENGTHS, NUM_CONTEXT_LENGTHS)]
    return MemoryTensors(order, states, torch.stack(depths, -1).to(torch.uint8))


def ids_of(seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (1, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_memory_that_knows_nothing_is_no_memory(shape: str) -> None:
    model = with_memory(shape)
    with torch.inference_mode():
        assert torch.equal(model(ids_of()), model(ids_of(), features=no_features(1, T)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_recalled_later_changes_nothing_before(shape: str, dtype: torch.dtype) -> None:
    model, at = with_memory(shape, dtype), T // 2
    early, late = random_recall(), random_recall(seed=1)
    changed = joined([early[:, :at], late[:, at:]])
    with torch.inference_mode():
        before, after = model(ids_of(), features=early), model(ids_of(), features=changed)
    assert torch.equal(before[:, :at], after[:, :at])
    assert not torch.equal(before[:, at], after[:, at])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=12), st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_any_chunks_and_any_rollback_give_the_same(chunks: list[int], seed: int) -> None:
    model, ids_BT, recall = with_memory("published", torch.float64), ids_of(seed), random_recall(seed=seed)
    cache, at, parts = Cache(model.config), 0, []
    with torch.inference_mode():
        whole = model(ids_BT, features=recall)
        for wanted in [*chunks, T]:
            size = min(wanted, T - at)
            if size == 0:
                break
            model(ids_BT[:, :1].expand(1, 3), cache, random_recall(3, seed=9))
            cache.truncate(at)
            parts.append(model(ids_BT[:, at : at + size], cache, recall[:, at : at + size]))
            at += size
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)


def test_only_logits_of_candidates_are_raised() -> None:
    """With the hint silent, as it is at first, every other byte keeps the logit of the net alone."""
    model, recall = with_memory(), random_recall()
    assert model.hint is not None
    for table in model.hint.parameters():
        torch.nn.init.zeros_(table)
    with torch.inference_mode():
        alone, told = model(ids_of()), model(ids_of(), features=recall)
    named = torch.zeros(1, T, VOCAB_SIZE + 1, dtype=torch.bool)
    named.scatter_(2, recall.symbols_BTM.long() % (VOCAB_SIZE + 1), True)
    assert torch.equal(alone == told, ~named[..., :VOCAB_SIZE])


def test_a_fresh_model_believes_what_was_often_seen() -> None:
    torch.manual_seed(0)
    model = MultiScaleTransformer(SHAPES["published"].model_copy(update={"memory": True}))
    recall = no_features(1, 1)
    recall.symbols_BTM[0, 0, :2] = torch.tensor([65, 66])
    recall.bins_BTMJ[0, 0, 0] = 8 * 5  # came next nine times or more, nothing else ever did
    recall.bins_BTMJ[0, 0, 1] = 5  # never came next, something else did
    with torch.inference_mode():
        chances = model(torch.tensor([[1]]), features=recall)[0, 0].softmax(-1)
    assert chances[65] > 3 * chances[67] > 3 * chances[66]


def test_every_weight_of_the_memory_learns() -> None:
    model = with_memory("published", torch.float32)
    torch.autograd.backward(model(ids_of(), features=random_recall()).logsumexp(-1).sum())
    assert model.fusion is not None
    assert model.hint is not None
    for name, weight in [*model.fusion.named_parameters(), *model.hint.named_parameters()]:
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_generation_reads_the_memory_at_every_step_and_through_a_full_context() -> None:
    """Greedy bytes equal those of a model that reads everything anew each time."""
    model = lively(SHAPES["published"].model_copy(update={"memory": True, "max_seq_len": 32}), torch.float64)
    longest, asked = model.config.max_seq_len, []

    class Fixed:
        """Recalls what is a function of the ids so far."""

        def __init__(self) -> None:
            self.read_so_far = 0

        def read(self, ids: list[int]) -> MemoryTensors:
            asked.append(len(ids))
            pieces = [random_recall(1, seed=self.read_so_far + index) for index in range(len(ids))]
            self.read_so_far += len(ids)
            return joined(pieces)

    prompt = [256, *range(40, 40 + longest - 6)]
    written = list(stream_ids(model, prompt, Sampling(temperature=0.0, max_new_tokens=12), Fixed()))
    assert sum(asked) == len(prompt) + len(written)
    all_ids = [*prompt, *written]
    recall = Fixed().read(all_ids)
    begin = 0
    for at, drawn in enumerate(written, len(prompt)):
        if at - begin > longest:
            begin = window_start(at, longest, full=True)
        with torch.no_grad():
            logits = model(torch.tensor([all_ids[begin:at]]), features=recall[:, begin:at])[0, -1]
        logits[[256, 0x11, 0x12, 0x13]] = -torch.inf
        assert int(logits.argmax()) == drawn
