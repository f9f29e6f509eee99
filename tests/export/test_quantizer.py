"""Our quantized files beside those of llama.cpp's own quantizer, tensor by tensor, on every shape of the zoo.

The quantizer is the one in node-llama-cpp's package for Linux, asked through ctypes: no wheel for Python 3.11 has one.
"""

from __future__ import annotations

import ctypes
import platform
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from benchmarks.llama_library import load_library
from multiscale_transformer.export.fine_stack import stack_of
from multiscale_transformer.export.gguf import write_gguf
from multiscale_transformer.export.gguf_file import quantize_file
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.model import MultiScaleTransformer
from multiscale_transformer.zoo.recipes import load_recipe, recipe_names

KINDS = {"Q8_0": 7, "Q4_K_M": 15}  # llama.h: llama_ftype


@pytest.fixture(scope="module")
def their_quantizer() -> ctypes.CDLL:
    if platform.system() != "Linux" or platform.machine() != "x86_64" or not shutil.which("npm"):
        pytest.skip("needs npm on Linux, x86-64")
    library, build = load_library()
    assert build.startswith("node-llama-cpp")
    return library


def shapes() -> dict[str, ModelConfig]:
    """One recipe of the zoo for each shape of the fine stack."""
    recipes = map(load_recipe, recipe_names())
    found = {(r.model.d_model, r.model.d_ff, r.model.layers[0], r.model.n_heads): (r.name, r.model) for r in recipes}
    return dict(found.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", shapes())
def test_every_tensor_is_that_of_llama_cpp(name: str, their_quantizer: ctypes.CDLL, tmp_path: Path) -> None:
    config = shapes()[name]
    with torch.device("meta"):
        state = MultiScaleTransformer(config).state_dict()
    rng = np.random.default_rng(0)
    needed = {key: tensor for key, tensor in state.items() if key.startswith(("embedding.", "stacks.0.", "hint."))}
    weights = {key: rng.standard_normal(tuple(tensor.shape), np.float32) * 0.05 for key, tensor in needed.items()}
    write_gguf(stack_of(config, weights), tmp_path / "f16.gguf", name)
    for kind, ftype in KINDS.items():
        ours, theirs = tmp_path / f"ours-{kind}.gguf", tmp_path / f"theirs-{kind}.gguf"
        quantize_file(tmp_path / "f16.gguf", ours, kind)  # type: ignore[arg-type]
        params = their_quantizer.llama_model_quantize_default_params()
        params.nthread, params.ftype = 2, ftype
        assert their_quantizer.llama_model_quantize(bytes(tmp_path / "f16.gguf"), bytes(theirs), params) == 0
        expected = {tensor.name: tensor for tensor in gguf.GGUFReader(theirs).tensors}
        made = {tensor.name: tensor for tensor in gguf.GGUFReader(ours).tensors}
        assert made.keys() == expected.keys()
        for key, tensor in made.items():
            assert (key, tensor.tensor_type) == (key, expected[key].tensor_type)
            assert np.array_equal(tensor.data, expected[key].data), key
        ours.unlink()
        theirs.unlink()
