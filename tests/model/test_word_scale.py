"""The word stack: where its rows are made, that they stay within their text, and what a fresh one says."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.test_rule_of_time import SHAPES, lively, some_ids
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.cache import Cache
from multiscale_transformer.model.config import parse_config
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.model.passes import native_passes
from multiscale_transformer.model.vocabulary import BOS, EOS, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX
from multiscale_transformer.model.word_scale import word_ends

WORDS = SHAPES["words"]


def is_in_word(token: int) -> bool:
    return token < 256 and (token >= 128 or bytes([token]).isalnum() or token == ord("_"))


@given(st.lists(st.one_of(st.integers(0, 257), st.sampled_from(b"ab_ .\n(\x11\x12\x13")), min_size=1, max_size=40))
def test_a_row_is_made_where_a_word_a_line_or_a_document_ends(ids: list[int]) -> None:
    always = {ord("\n"), FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE, BOS, EOS}
    expected = [
        token in always or (not is_in_word(token) and position > 0 and is_in_word(ids[position - 1]))
        for position, token in enumerate(ids)
    ]
    assert word_ends(torch.tensor([ids]))[0].tolist() == expected


def test_rows_of_some_code() -> None:
    text = "x_1 = f(é, 2)\n\n"
    (ends,) = word_ends(torch.tensor([list(text.encode())])).tolist()
    assert [position for position, end in enumerate(ends) if end] == [3, 7, 10, 13, 14, 15]


def test_texts_of_a_batch_do_not_touch_each_other() -> None:
    """They have different numbers of words, so that rows are made which stand for nothing."""
    model = lively(WORDS, torch.float64)
    texts = [b"a" * 30, b"a b c d e f g h i j k l m n o ", b"one word  and  another one is  "[:30], b"\n" * 30]
    ids = torch.tensor([list(text) for text in texts])
    with torch.inference_mode():
        together = model(ids)
        for row, text in enumerate(ids):
            torch.testing.assert_close(model(text[None])[0], together[row], rtol=1e-5, atol=1e-5)


def test_a_fresh_word_stack_is_silent() -> None:
    torch.manual_seed(0)
    model, flat = MultiScaleTransformer(WORDS), MultiScaleTransformer(SHAPES["flat"])
    known = model.state_dict()
    flat.load_state_dict({name: known[name] for name in flat.state_dict()})
    ids = some_ids()
    with torch.inference_mode():
        assert torch.equal(model(ids), flat(ids))


@pytest.mark.parametrize("ids", [some_ids(), some_ids() % 26 + 97], ids=["words", "no word ends"])
def test_an_accelerator_makes_a_few_numbers_of_rows_and_computes_the_same(ids: torch.Tensor) -> None:
    model = lively(WORDS, torch.float64)
    logits = model(ids)
    (gradients,) = torch.autograd.grad(logits.square().mean(), [model.words.down.weight])
    with native_passes():
        native = model(ids)
        (native_gradients,) = torch.autograd.grad(native.square().mean(), [model.words.down.weight])
    torch.testing.assert_close(native, logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(native_gradients, gradients, rtol=1e-4, atol=1e-5)


def test_rows_read_the_rows_before_them() -> None:
    """Without attention in the fine layers a byte hears of an earlier bracket, which ended a word, by the rows alone."""
    model = lively(WORDS)
    ids, changed = torch.tensor([list(b"ab(cd ef gh")]), torch.tensor([list(b"ab[cd ef gh")])
    for block in model.stacks[0]:
        block.attention.out.weight.data.zero_()
    with torch.inference_mode():
        assert not torch.equal(model(ids)[0, -1], model(changed)[0, -1])
        for block in model.words.blocks:
            block.attention.out.weight.data.zero_()
        assert torch.equal(model(ids)[0, -1], model(changed)[0, -1])


def test_the_distance_to_the_newest_row_is_heard() -> None:
    model = lively(WORDS)
    ids = torch.tensor([[BOS, *b"a", *b" " * 40]])
    with torch.inference_mode():
        before = model(ids)
        model.words.since.weight.data[3] += 1.0
        changed = (model(ids) != before).any(-1)[0].nonzero().flatten().tolist()
    assert changed[0] == 5  # BOS, a, the end of the word, and three blanks later


def test_a_cache_keeps_the_rows_of_each_sequence_apart() -> None:
    model, cache = lively(WORDS, torch.float64), Cache(WORDS)
    ids = torch.tensor([list(b"a b c d e "), list(b"abcdefgh i")])
    with torch.inference_mode():
        model(ids, cache)
    assert [len(words) for words in cache.words] == [5, 1]
    cache.truncate(3)
    assert [len(words) for words in cache.words] == [1, 0]
    with torch.inference_mode():
        torch.testing.assert_close(model(ids[:, 3:], cache), model(ids)[:, 3:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"downsample_factors": [1, 2, 4]}, "word_layers go with one fixed scale"),
        ({"n_layers_per_scale": 1}, "set n_layers_per_scale to 2 or more"),
        ({"word_layers": -1}, "word_layers"),
    ],
)
def test_shapes_that_cannot_be_are_refused_in_a_line(change: dict[str, object], says: str) -> None:
    with pytest.raises(AxlError, match=says) as refused:
        parse_config({**WORDS.model_dump(mode="json"), **change}, "mine.yaml")
    assert "\n" not in str(refused.value)
