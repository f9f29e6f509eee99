"""Reading and writing checkpoints: folders with `config.json`, `model.safetensors` and what other layers lay beside them.

Weights are safetensors, so loading a stranger's checkpoint runs no code; neither does reading a published `.pt` file. They are
written from where they lie and read one by one to where they will lie, so that of a large model there are never two copies.
Whatever is wrong with a checkpoint is said in one line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from multiscale_transformer import files
from multiscale_transformer.errors import AxlError
from multiscale_transformer.model.config import ModelConfig, parse_config
from multiscale_transformer.model.folder import CONFIG_FILE, MODEL_TYPE, WEIGHTS_FILE, read_config
from multiscale_transformer.model.model import MultiScaleTransformer


def save_model(model: MultiScaleTransformer, folder: Path, *, dtype: torch.dtype = torch.float32, **extra: Any) -> None:
    """Write config and weights into `folder`, each atomically; `extra` are further fields of `config.json`."""
    save_tensors(folder / WEIGHTS_FILE, {name: t.detach().to("cpu", dtype) for name, t in model.state_dict().items()})
    fields = {"model_type": MODEL_TYPE, "architectures": ["MultiScaleForCausalLM"], **extra}
    files.write_json(folder / CONFIG_FILE, {**fields, **model.config.model_dump(mode="json")})


def load_model(path: str | Path) -> MultiScaleTransformer:
    """The model of a checkpoint folder, or of a published `.pt` file, in evaluation mode and fp32.

    Raises AxlError when there is no checkpoint, it is damaged, or its weights do not fit its config.
    """
    path = Path(path)
    weights: Mapping[str, Tensor]
    if path.suffix == ".pt":
        config, weights = _read_pt(path)
        given = {name: tensor.shape for name, tensor in weights.items()}
    else:
        config, path = read_config(path), path / WEIGHTS_FILE
        weights = stored = TensorFile(path)
        given = {name: stored.shape(name) for name in stored}
    with torch.device("meta"):  # no memory yet: the tensors that are read become the weights
        model = MultiScaleTransformer(config)
    empty = model.state_dict()
    expected = {name: tensor.shape for name, tensor in empty.items()}
    if expected != given:
        wrong = sorted(name for name in expected.keys() | given.keys() if expected.get(name) != given.get(name))
        raise AxlError(
            f"{path} does not fit its config{'' if path.suffix == '.pt' else '.json'} "
            f"({len(wrong)} tensors differ, first {wrong[0]}); "
            "it is damaged or from another version: train it again or restore both files from one run"
        )
    # Copied one by one: what was read may lie askew, where products round otherwise, and a resumed run must be bit-identical.
    own = {name: weights[name].to(tensor.dtype, copy=True) for name, tensor in empty.items()}
    model.load_state_dict(own, assign=True)
    return model.eval()


def _read_pt(path: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Config and weights of a file as `axl export pt` writes it. Raises AxlError."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        fields, weights = content["config"], dict(content["model_state_dict"])
    except FileNotFoundError as error:
        raise AxlError(f"there is no file {path}; give one that axl export pt wrote, or the folder of a run") from error
    except (OSError, RuntimeError, UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise AxlError(f"{path} is damaged or no checkpoint of AXL ({why}); restore it or export it again") from error
    return parse_config(fields, str(path)), weights


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write tensors as safetensors, atomically. Raises AxlError when the disk is full or the folder cannot be written."""
    contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}

    def write(temporary: Path) -> None:
        try:
            save_file(contiguous, temporary)
        except SafetensorError as error:
            # Its errors are no OSErrors even when the disk is full; the number of the system's error is in the words.
            number = re.search(r"\(os error (\d+)\)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error

    files.write_with(path, write)


class TensorFile(Mapping[str, Tensor]):
    """The tensors of a safetensors file, each read when it is asked for and not kept.

    Raises AxlError for a missing or damaged file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            self._file = safe_open(path, "pt", backend="pread")
            self._names: list[str] = list(self._file.keys())  # type: ignore[no-untyped-call]

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._names:
            raise KeyError(name)
        with self._explained():
            return self._file.get_tensor(name)  # type: ignore[no-any-return, no-untyped-call]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def shape(self, name: str) -> torch.Size:
        """The shape of a tensor, without reading it."""
        return torch.Size(self._file.get_slice(name).get_shape())  # type: ignore[no-untyped-call]

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise AxlError(f"{self._path} is missing; give the folder of a finished run") from error
        except (SafetensorError, OSError) as error:
            raise AxlError(f"{self._path} is damaged ({error}); restore it or train again") from error
