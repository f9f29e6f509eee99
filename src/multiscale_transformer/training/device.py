"""Which device trains: the names that a person may give, and what each of them means on this machine.

PyTorch is imported only when a name is looked at, so that the command line can list the names without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from multiscale_transformer.errors import AxlError
from multiscale_transformer.machine import available_ram

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
ACCELERATORS = ("cuda", "mps")  # in the order in which `auto` looks for them


def choose_device(name: DeviceName) -> torch.device:
    """The device of this machine that `name` means; `auto` is the first accelerator that is there, else the CPU.

    Raises AxlError when there is no such device.
    """
    import torch

    there = [accelerator for accelerator in ACCELERATORS if _is_there(accelerator)]
    wanted = (there or ["cpu"])[0] if name == "auto" else name
    if wanted not in (*there, "cpu"):
        raise AxlError(f"no {name} device is here for this PyTorch; --device takes {', '.join(('auto', 'cpu', *there))}")
    return torch.device(wanted)


def _is_there(accelerator: str) -> bool:
    import torch

    return torch.cuda.is_available() if accelerator == "cuda" else torch.backends.mps.is_available()


def free_memory(device: torch.device) -> int:
    """Bytes that training may take on a device."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":  # which shares the memory of the machine
        return min(available_ram(), torch.mps.recommended_max_memory())
    return available_ram()


def accelerator_name(device: torch.device) -> str:
    """What the maker calls an accelerator; nothing for a CPU."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return "Apple GPU" if device.type == "mps" else ""
