"""Data move to the device of a model as they are: a tensor, or a dataclass of tensors."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Data = TypeVar("Data")


def moved(data: Data, device: torch.device) -> Data:
    """A tensor on `device`, or a dataclass whose tensors are there; anything else as it is.

    To CUDA it goes from pinned memory, and nobody waits for it: what computes with it waits by itself.
    """
    if isinstance(data, Tensor):
        if device.type == "cuda" and data.device.type == "cpu":
            return cast(Data, data.pin_memory().to(device, non_blocking=True))
        return cast(Data, data.to(device))
    if is_dataclass(data) and not isinstance(data, type):
        parts: dict[str, Any] = {field.name: moved(getattr(data, field.name), device) for field in fields(data)}
        return cast(Data, replace(data, **parts))
    return data
