"""Compression peers: what must cost 8 bits does, what is known costs nothing, order and emptiness are handled."""

import inspect
import json
import random
import sys

import pyppmd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from multiscale_transformer.data.documents import Documents
from multiscale_transformer.errors import AxlError
from multiscale_transformer.evaluation.compression_baselines import (
    LABELS,
    NEEDS_ZPAQ,
    compression_figures,
    has_zpaq,
    labelled,
    ppmd_bits_per_byte,
    ppmd_primed_bits_per_byte,
    xz_bits_per_byte,
    zpaq_bits_per_byte,
    zpaq_primed_bits_per_byte,
)

NOISE = random.Random(0).randbytes(40_000)
needs_zpaq = pytest.mark.skipif(not has_zpaq(), reason="zpaq is not installed")
ALONE = [xz_bits_per_byte, ppmd_bits_per_byte, pytest.param(zpaq_bits_per_byte, marks=needs_zpaq)]
CODE = "".join(f"def f{i}(x):\n    return x + {i * i}\n\n" for i in range(300)).encode()


@pytest.mark.parametrize("measure", ALONE)
def test_random_bytes_cost_at_least_eight_bits(measure):
    assert 8.0 <= measure([("noise", NOISE)]) < 8.4


@pytest.mark.parametrize("measure", ALONE)
def test_a_repeated_text_costs_little(measure):
    assert measure([("a", b"the same line again\n" * 5_000)]) < 0.1


@pytest.mark.parametrize("measure", ALONE)
def test_all_documents_are_one_stream_in_the_order_of_their_names(measure):
    parts = [("b", NOISE[:5_000]), ("a", CODE[:3_000]), ("c", NOISE[:5_000])]
    assert measure(parts) == measure(reversed(parts))
    assert measure(parts) == measure([("all", CODE[:3_000] + NOISE[:5_000] + NOISE[:5_000])])
    assert measure(parts) < 6.0  # the second copy of the noise is free only if the first is remembered


PRIMED = [
    (ppmd_bits_per_byte, ppmd_primed_bits_per_byte),
    pytest.param(zpaq_bits_per_byte, zpaq_primed_bits_per_byte, marks=needs_zpaq),
]


@pytest.mark.parametrize(("alone", "primed"), PRIMED)
def test_priming_with_the_same_text_makes_it_nearly_free(alone, primed):
    held_out = [("noise", NOISE)]
    assert primed([("seen", NOISE)], held_out) < 0.1 * alone(held_out)


@pytest.mark.parametrize(("alone", "primed"), PRIMED)
def test_priming_with_similar_text_helps(alone, primed):
    train, held_out = ([(module.__name__, inspect.getsource(module).encode())] for module in (json.encoder, json.decoder))
    assert primed(train, held_out) < 0.9 * alone(held_out)


@settings(max_examples=25, deadline=None)
@given(train=st.binary(max_size=2_000), held_out=st.binary(min_size=1, max_size=2_000))
def test_primed_is_the_size_of_both_less_the_size_of_the_first(train, held_out):
    def size(data):
        return len(pyppmd.compress(data, max_order=8, mem_size=1 << 24, variant="H"))

    expected = size(train + held_out) - size(train)
    measured = ppmd_primed_bits_per_byte([("t", train)], [("h", held_out)]) * len(held_out) / 8
    assert abs(measured - expected) <= 8  # the range coder holds back five bytes at the seam, and bytes a carry may change


def test_nothing_is_forgotten_between_the_training_text_and_the_held_out_one():
    # Noise read twice fills the model faster than any text; its first bytes must still be known at the end.
    noise = random.Random(1).randbytes(400_000)
    assert ppmd_primed_bits_per_byte([("twice", noise * 2)], [("again", noise[:20_000])]) < 0.5


def test_peers_gives_one_figure_for_each_and_the_primed_one_on_request():
    held_out, train = Documents.from_items([("h", CODE)]), Documents.from_items([("t", CODE)])
    both = compression_figures(train, held_out)
    assert both == {
        "xz": xz_bits_per_byte(held_out),
        "ppmd": ppmd_bits_per_byte(held_out),
        "ppmd_primed": ppmd_primed_bits_per_byte(train, held_out),
    }
    assert compression_figures(None, held_out) == {name: both[name] for name in ("xz", "ppmd")}


@pytest.mark.parametrize("documents", [[], [("empty", b"")]])
def test_nothing_to_compress_is_one_clear_line(documents):
    with pytest.raises(AxlError, match="nothing to compress") as error:
        compression_figures(None, documents)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("alone", "primed"), PRIMED)
def test_priming_with_nothing_changes_nothing(alone, primed):
    assert primed([], [("h", CODE)]) == alone([("h", CODE)])


@needs_zpaq
def test_zpaq_is_a_peer_where_it_is_asked_for():
    train, held_out = ([(module.__name__, inspect.getsource(module).encode())] for module in (json.encoder, json.decoder))
    figures = compression_figures(train, held_out, zpaq=True)
    assert list(figures) == list(LABELS)
    assert figures["zpaq_primed"] < figures["zpaq"]


def test_labels_are_in_one_order_and_only_for_what_was_measured():
    assert labelled({"ppmd": 2.0, "bytes": 7, "xz": 1.0}) == [("xz -9e", 1.0), ("PPMd, order 8", 2.0)]


def test_a_missing_zpaq_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "zpaq", None)
    with pytest.raises(AxlError, match=r"pip install axl\[bench\]") as error:
        compression_figures(None, [("h", CODE)], zpaq=True)
    assert str(error.value) == NEEDS_ZPAQ
