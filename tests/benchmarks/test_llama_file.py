"""The llama to compare with: its size, its vocabulary, what quantizing keeps, and errors in one line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.llama_file import LlamaShape, llama_shape, write_byte_llama
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.gguf_file import quantize_file

gguf = pytest.importorskip("gguf")
pytest.importorskip("xllamacpp")

SHAPE = LlamaShape(d_model=256, n_layers=8, n_heads=4, d_ff=256)


@pytest.fixture(scope="module")
def f16(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama") / "f16.gguf"
    write_byte_llama(path, SHAPE, seed=0)
    return path


@given(width=st.integers(1, 6).map(lambda blocks: 256 * blocks), layers=st.integers(20, 60))
def test_a_shape_comes_within_three_percent_of_the_wanted_size(width, layers):
    wanted = layers * 12 * width**2
    assert abs(llama_shape(wanted, width).parameters / wanted - 1) <= 0.03


def test_the_sizes_of_our_models_are_met_with_the_proportions_of_llama():
    assert llama_shape(12_800_000, 256) == LlamaShape(256, n_layers=15, n_heads=4, d_ff=768)
    assert llama_shape(318_000_000, 1024) == LlamaShape(1024, n_layers=25, n_heads=16, d_ff=2816)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: llama_shape(100_000, 256), "no llama of d_model 256"),
        (lambda: llama_shape(1_000_000, 200), "multiples of 256"),
        (lambda: LlamaShape(256, 2, 4, 688), "multiples of 256"),
        (lambda: LlamaShape(256, 2, 3, 768), "3 heads"),
        (lambda: LlamaShape(256, 0, 4, 768), "above 0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_in_one_line(make, says):
    with pytest.raises(AxlError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_file_holds_the_parameters_of_its_shape_and_a_byte_vocabulary(f16):
    reader = gguf.GGUFReader(f16)
    assert sum(tensor.n_elements for tensor in reader.tensors) == SHAPE.parameters
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    assert len(set(tokens)) == 258
    assert tokens[ord("a")] == "a"
    assert tokens[ord(" ")] == "\u0120"


def test_the_same_seed_writes_the_same_file(f16, tmp_path):
    write_byte_llama(tmp_path / "again.gguf", SHAPE, seed=0)
    write_byte_llama(tmp_path / "other.gguf", SHAPE, seed=1)
    assert (tmp_path / "again.gguf").read_bytes() == f16.read_bytes()
    assert (tmp_path / "other.gguf").read_bytes() != f16.read_bytes()


@pytest.mark.parametrize(("kind", "most"), [("Q8_0", 0.01), ("Q4_K_M", 0.10)])
def test_quantized_weights_are_the_old_ones_with_a_small_error(f16, tmp_path, kind, most):
    quantize_file(f16, tmp_path / "q.gguf", kind)
    before, after = gguf.GGUFReader(f16), gguf.GGUFReader(tmp_path / "q.gguf")
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert (old.name, list(old.shape)) == (new.name, list(new.shape))
        exact = np.asarray(old.data, np.float32)
        error = gguf.dequantize(new.data, new.tensor_type) - exact
        assert np.sqrt(np.mean(error**2)) <= most * np.sqrt(np.mean(exact**2))
    hyperparameters = [name for name in before.fields if not name.startswith("GGUF.") and name != "general.file_type"]
    assert all(before.fields[name].contents() == after.fields[name].contents() for name in hyperparameters)


def test_the_mix_is_the_one_of_llama_cpp(f16, tmp_path):
    quantize_file(f16, tmp_path / "q.gguf", "Q4_K_M")
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "q.gguf").tensors}
    wide = {layer for layer in range(8) if types[f"blk.{layer}.ffn_down.weight"] == "Q6_K"}
    assert wide == {0, 3, 6, 7}  # as written by llama-quantize, byte by byte, on four shapes
    assert wide == {layer for layer in range(8) if types[f"blk.{layer}.attn_v.weight"] == "Q6_K"}
    assert (types["output.weight"], types["token_embd.weight"], types["output_norm.weight"]) == ("Q6_K", "Q4_K", "F32")


def test_what_is_no_f16_model_is_refused_and_nothing_is_written(f16, tmp_path):
    (tmp_path / "text.gguf").write_text("no model")
    (tmp_path / "cut.gguf").write_bytes(f16.read_bytes()[:300_000])
    quantize_file(f16, tmp_path / "small.gguf", "Q8_0")
    for name, says in [("absent", "not a whole"), ("text", "not a whole"), ("cut", "not a whole"), ("small", "already")]:
        with pytest.raises(AxlError, match=says) as caught:
            quantize_file(tmp_path / f"{name}.gguf", tmp_path / "out.gguf", "Q4_K_M")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.gguf").exists()


def test_a_place_that_cannot_be_written_is_named(f16, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AxlError, match="cannot write"):
        write_byte_llama(tmp_path / "file" / "f16.gguf", SHAPE, seed=0)
    with pytest.raises(AxlError, match="cannot write"):
        quantize_file(f16, tmp_path / "file" / "q.gguf", "Q8_0")
