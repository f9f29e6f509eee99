"""Exported files in stock llama.cpp: the same distribution, the same text, and every matrix quantized as llama.cpp does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.llama_client import LlamaClient
from multiscale_transformer.errors import AxlError
from multiscale_transformer.export.fine_stack import fine_stack
from multiscale_transformer.export.gguf import KINDS, export_gguf, gguf_name
from multiscale_transformer.export.gguf_file import tensor_type
from multiscale_transformer.export.ollama import export_ollama
from multiscale_transformer.model.checkpoint import load_model
from multiscale_transformer.model.config import ModelConfig
from multiscale_transformer.model.vocabulary import BOS, EOS
from tiny import SHAPES, checkpoint

CODE = Path(__file__).read_bytes()
CONFIGS = {
    "three scales": ModelConfig(d_model=64, n_heads=2, d_ff=96, n_layers_per_scale=2, max_seq_len=256),
    "with a memory": ModelConfig(d_model=64, n_heads=2, d_ff=96, n_layers_per_scale=2, memory=True, max_seq_len=256),
    "flat": ModelConfig(d_model=64, n_heads=4, d_ff=80, n_layers_per_scale=3, downsample_factors=(1,), max_seq_len=256),
    "convolution": ModelConfig(
        d_model=96, n_heads=3, d_ff=80, n_layers_per_scale=2, downsample_factors=(1,), conv_taps=5, memory=True, max_seq_len=256
    ),
}


def exit_logprobs(folder: Path, ids: list[int]) -> np.ndarray:
    """The reference: what the fine stack's exit gives (T, V) without a memory."""
    model = load_model(folder)
    with torch.inference_mode():
        return model.head(model.states(torch.tensor([ids]))[1])[0].log_softmax(-1).double().numpy()  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=CONFIGS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder, out = tmp_path_factory.mktemp("checkpoint"), tmp_path_factory.mktemp("out")
    checkpoint(CONFIGS[request.param], folder)
    export_gguf(folder, out, "tiny", ["F16", "Q4_K_M"])
    return folder, out


def test_the_file_is_the_exit(exported: tuple[Path, Path]) -> None:
    folder, out = exported
    llama = LlamaClient(out / "tiny-f16.gguf")
    ids = [BOS, *CODE[:60]]
    theirs_TV = llama.logprobs(ids)[::7]
    ours_TV = exit_logprobs(folder, ids)[::7]
    assert np.abs(theirs_TV - ours_TV).max() <= 1e-2 * np.abs(ours_TV).max()
    model, greedy = load_model(folder), list(ids)
    for _ in range(40):
        with torch.inference_mode():
            greedy.append(int(model.head(model.states(torch.tensor([greedy]))[1])[0, -1, :EOS].argmax()))
    assert llama.greedy(ids, 40) == greedy[len(ids) :]


def test_a_text_is_its_bytes(exported: tuple[Path, Path]) -> None:
    """All valid UTF-8, BOS before it, and no space lost on the way back."""
    llama = LlamaClient(exported[1] / "tiny-f16.gguf")
    text = "def é(x):\n\treturn '▁ 中' # <|eos|> a ."
    tokens = llama.tokenize(text)
    assert tokens == [BOS, *text.encode()]
    assert llama.detokenize(tokens[1:]) == text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("taps", [0, 7])
def test_every_kind_loads_and_is_near(tmp_path: Path, kind: str, taps: int) -> None:
    config = ModelConfig(
        d_model=256 - 64 * bool(taps),
        n_heads=4 - bool(taps),
        d_ff=688,
        n_layers_per_scale=1,
        downsample_factors=(1,),
        conv_taps=taps,
        max_seq_len=256,
    )
    checkpoint(config, tmp_path / "model")
    ((path, report),) = export_gguf(tmp_path / "model", tmp_path / "out", "AXL Tiny!", [kind])  # type: ignore[list-item]
    assert path.name == f"axl-tiny-{kind.lower()}.gguf"
    assert not report.fallbacks, "d_ff is padded to whole super-blocks"
    low, high = {"F16": (16, 16.2), "BF16": (16, 16.2), "Q8_0": (8.5, 8.8), "Q4_K_M": (4.5, 6.0)}[kind]
    assert low <= report.bits_per_weight <= high
    assert [one.name for one in (tmp_path / "out").iterdir()] == [path.name], "the F16 file in between is gone"
    ids = [BOS, *CODE[:30]]
    ours, theirs = exit_logprobs(tmp_path / "model", ids)[-1], LlamaClient(path).logprobs(ids)[-1]
    divergence = float((np.exp(ours) * (ours - theirs)).sum())
    assert divergence < {"F16": 1e-4, "BF16": 1e-3, "Q8_0": 1e-3, "Q4_K_M": 0.1}[kind]


def test_padding_is_exact(tmp_path: Path) -> None:
    checkpoint(CONFIGS["flat"], tmp_path)
    plain, padded = fine_stack(tmp_path, pad_to=1), fine_stack(tmp_path)
    down = padded.tensors["blk.0.ffn_down.weight"]
    assert (plain.d_ff, padded.d_ff) == (80, 256)
    assert np.array_equal(down[:, :80], plain.tensors["blk.0.ffn_down.weight"])
    assert not down[:, 80:].any()


def test_what_falls_back() -> None:
    assert tensor_type("blk.0.attn_q.weight", 192, 4, "Q4_K_M") == "Q5_0"
    assert tensor_type("output.weight", 192, 4, "Q4_K_M") == "Q8_0"
    assert tensor_type("blk.0.attn_q.weight", 48, 4, "Q4_K_M") == "F16"
    assert tensor_type("blk.0.attn_q.weight", 48, 4, "Q8_0") == "F16"


def test_an_ollama_folder_refers_to_the_file_that_is_there(tmp_path: Path) -> None:
    checkpoint(CONFIGS["flat"], tmp_path / "model")
    export_ollama(tmp_path / "model", tmp_path / "out", "AXL-Mine")
    lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
    assert lines[0] == f"FROM ./{gguf_name('AXL-Mine', 'Q8_0')}"
    assert (tmp_path / "out" / lines[0].removeprefix("FROM ./")).is_file()
    assert "PARAMETER num_ctx 256" in lines
    assert LlamaClient(tmp_path / "out" / gguf_name("AXL-Mine", "Q8_0")).text("def ", 3) is not None


def test_wrong_input_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AxlError, match="no folder"):
        export_gguf(tmp_path / "absent", tmp_path / "out", "x", ["F16"])
    checkpoint(SHAPES["biases, two cross layers, no feed-forward across"], tmp_path / "biased")
    with pytest.raises(AxlError, match="biases"):
        export_gguf(tmp_path / "biased", tmp_path / "out", "x", ["F16"])
    checkpoint(CONFIGS["flat"].model_copy(update={"word_layers": 1}), tmp_path / "words")
    with pytest.raises(AxlError, match=r"word stack.* axl distill"):
        export_gguf(tmp_path / "words", tmp_path / "out", "x", ["F16"])
    checkpoint(CONFIGS["flat"], tmp_path / "model")
    with pytest.raises(AxlError, match="unknown kind"):
        export_gguf(tmp_path / "model", tmp_path / "out", "x", ["Q3"])  # type: ignore[list-item]
    assert not (tmp_path / "out").exists()
    export_gguf(tmp_path / "model", tmp_path / "out", "x", ["F16"])
    with pytest.raises(AxlError, match="already exists"):
        export_gguf(tmp_path / "model", tmp_path / "out", "x", ["F16", "Q8_0"])
    assert len(list((tmp_path / "out").iterdir())) == 1
