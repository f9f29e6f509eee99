"""A checkpoint comes back bit for bit, and whatever is wrong with one is said in one line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from model.test_rule_of_time import SHAPES, lively, some_ids
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model import checkpoint
from multiscale_transformer.model.checkpoint import TensorFile, load_model, save_model, save_tensors
from tiny import TINY, model_of, names_in, same_weights, weights_of

WHOLE = {"config.json", "model.safetensors"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(model_of(), tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def one_line(folder: Path) -> str:
    with pytest.raises(AxlError) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("shape", SHAPES)
def test_comes_back_bit_for_bit(shape: str, tmp_path: Path) -> None:
    model = lively(SHAPES[shape])
    save_model(model, tmp_path)
    loaded = load_model(tmp_path)
    assert names_in(tmp_path) == WHOLE
    assert loaded.config == model.config
    assert not loaded.training
    assert same_weights(weights_of(loaded), weights_of(model))
    with torch.inference_mode():
        assert torch.equal(loaded(some_ids()), model(some_ids()))


def test_saving_over_a_checkpoint_replaces_it(folder: Path) -> None:
    loaded = load_model(folder)
    save_model(model_of(seed=1), folder)
    assert same_weights(weights_of(load_model(folder)), weights_of(model_of(seed=1)))
    assert same_weights(weights_of(loaded), weights_of(model_of()))


def test_config_json_is_for_other_tools_too(tmp_path: Path) -> None:
    save_model(model_of(), tmp_path, name="AXL-Tiny")
    fields = json.loads((tmp_path / "config.json").read_text())
    assert fields["name"] == "AXL-Tiny"
    assert fields["model_type"] == "multiscale_transformer"
    assert fields["d_model"] == TINY.d_model
    (tmp_path / "config.json").write_text(json.dumps({**fields, "transformers_version": "5.0"}))
    assert load_model(tmp_path).config == TINY


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from([torch.float32, torch.bfloat16, torch.int64]), st.lists(st.integers(0, 3), max_size=3)),
        max_size=4,
    )
)
@settings(max_examples=30)
def test_tensors_of_any_shape_come_back(tmp_path_factory: pytest.TempPathFactory, kinds: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("tensors") / "file"
    tensors = {name: (torch.randn(shape) * 9).to(dtype) for name, (dtype, shape) in kinds.items()}
    save_tensors(path, {name: tensor.mT if tensor.dim() == 2 else tensor for name, tensor in tensors.items()})
    loaded = TensorFile(path)
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor.mT if tensor.dim() == 2 else tensor)


def test_no_folder_and_no_checkpoint_in_it(tmp_path: Path) -> None:
    assert "there is no folder" in one_line(tmp_path / "nowhere")
    assert f"no checkpoint in {tmp_path}" in one_line(tmp_path)
    (tmp_path / "file").write_text("")
    assert "no checkpoint in" in one_line(tmp_path / "file")


@pytest.mark.parametrize("content", ['{"model_type": "llama", "d_model": 8}', "{}", "[]", "7", "null"])
def test_a_foreign_folder(content: str, folder: Path) -> None:
    (folder / "config.json").write_text(content)
    assert one_line(folder) == f"{folder} is not an AXL checkpoint (its config.json is for something else)"


@pytest.mark.parametrize("content", [b"", b"{", b'{"model_type": "multiscale_transformer",', b"\xff\xfe", b"\x00" * 64])
def test_damaged_json(content: bytes, folder: Path) -> None:
    (folder / "config.json").write_bytes(content)
    assert "config.json is damaged" in one_line(folder)


def test_a_config_that_is_no_config(folder: Path) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, "n_heads": 3}))
    assert "config.json is not a valid config: d_model 16 is not divisible by n_heads 3" in one_line(folder)


def test_missing_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing" in one_line(folder)


@given(share=st.floats(0.0, 1.0, exclude_max=True))
@settings(max_examples=25)
def test_weights_that_are_cut_short(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    save_model(model_of(), folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: int(share * len(whole))])
    assert "model.safetensors is damaged" in one_line(folder)


@pytest.mark.parametrize("content", [b"\xff" * 100, b"PK\x03\x04 a zip archive of something else" * 9])
def test_weights_that_are_something_else(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors is damaged" in one_line(folder)


def test_weights_of_another_shape_or_set(folder: Path, tmp_path: Path) -> None:
    for change in ({"d_model": 32}, {"n_layers_per_scale": 3}, {"bias": True}, {"downsample_factors": (1, 2, 8)}):
        save_model(model_of(TINY.model_copy(update=change)), tmp_path / "other")
        (folder / "model.safetensors").write_bytes((tmp_path / "other" / "model.safetensors").read_bytes())
        assert "model.safetensors does not fit its config.json" in one_line(folder)


def half_then(error: Exception) -> Callable[..., None]:
    def failing(tensors: dict[str, torch.Tensor], path: Path) -> None:
        path.write_bytes(b"half of the weights")
        raise error

    return failing


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("error", FULL, ids=["from the system", "from safetensors"])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_full_disk_leaves_the_old_checkpoint(
    error: Exception, fresh: bool, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "new" if fresh else folder
    monkeypatch.setattr(checkpoint, "save_file", half_then(error))
    with pytest.raises(AxlError, match=r"the disk is full: .*model.safetensors was not written"):
        save_model(model_of(seed=1), target)
    monkeypatch.undo()
    assert names_in(target) == (set() if fresh else WHOLE)
    assert same_weights(weights_of(load_model(folder)), weights_of(model_of()))


def test_a_disk_that_is_full_when_flushed_leaves_the_old_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AxlError, match="the disk is full"):
        save_model(model_of(seed=1), folder)
    assert names_in(folder) == WHOLE
    assert same_weights(weights_of(load_model(folder)), weights_of(model_of()))


def test_what_safetensors_really_says_when_the_system_refuses_is_understood(tmp_path: Path) -> None:
    """The system's own limit on the size of a file stands for a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(AxlError, match=r"cannot write .*weights: File too large"):
            save_tensors(tmp_path / "weights", {"a": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names_in(tmp_path) == set()


def test_a_defect_of_the_caller_stays_one(tmp_path: Path) -> None:
    shared = torch.zeros(4)
    with pytest.raises(RuntimeError, match="share memory"):
        save_tensors(tmp_path / "weights", {"a": shared, "b": shared})
    assert names_in(tmp_path) == set()
