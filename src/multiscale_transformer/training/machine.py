"""What this machine computes: matrix-product rates, and the dtype to train in.

An accelerator says what it supports. A CPU that lists bf16 may emulate it, so the choice between bf16 and fp32 is made by
timing both, once per process and in about a second. The same rate is the denominator of "share of this machine's
matrix-product rate" in every report.
"""

from __future__ import annotations

import platform
import time
from functools import cache
from pathlib import Path

import torch

from multiscale_transformer.machine import installed_ram
from multiscale_transformer.training.device import accelerator_name
from multiscale_transformer.zoo.training_record import MachineRecord

SIDE = 512  # a product of the size that training makes
ACCELERATOR_SIDE = 2048  # smaller ones measure how fast they are begun
CPU = torch.device("cpu")
ROUNDS, ENOUGH_SECONDS = 12, 0.5  # emulated bf16 can be a hundred times slower: one round shows that


@cache
def matmul_rate(dtype: torch.dtype, threads: int) -> float:
    """FLOP/s of a (4 SIDE x SIDE) by (SIDE x SIDE) product: the best of several rounds, on `threads` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _best_rate(SIDE, dtype, CPU)
    finally:
        torch.set_num_threads(before)


def _best_rate(side: int, dtype: torch.dtype, device: torch.device) -> float:
    a, b = torch.randn(4 * side, side, device=device).to(dtype), torch.randn(side, side, device=device).to(dtype)
    flops, times = 2 * 4 * side**3, list[float]()
    while len(times) < ROUNDS and sum(times) < ENOUGH_SECONDS:
        synchronise(device)
        start = time.perf_counter()
        torch.mm(a, b)
        synchronise(device)
        times.append(time.perf_counter() - start)
    return flops / min(times)


def synchronise(device: torch.device) -> None:
    """Wait until a device has done what it was told; a CPU has, when a call returns."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def compute_dtype(threads: int, device: torch.device = CPU) -> torch.dtype:
    """bf16 where an accelerator supports it, and where this CPU multiplies it at least 1.3 times as fast as fp32 (less would
    not pay for the conversions)."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float32
    faster = matmul_rate(torch.bfloat16, threads) >= 1.3 * matmul_rate(torch.float32, threads)
    return torch.bfloat16 if faster else torch.float32


def describe_machine(threads: int, device: torch.device = CPU) -> MachineRecord:
    """For `training.json`: device, processor, threads, RAM and the measured rate of the device in GFLOP/s."""
    dtype = compute_dtype(threads, device)
    rate = matmul_rate(dtype, threads) if device.type == "cpu" else _best_rate(ACCELERATOR_SIDE, dtype, device)
    return MachineRecord(
        device=device.type,
        accelerator=accelerator_name(device),
        processor=processor(),
        system=f"{platform.system()} {platform.machine()}",
        threads=threads,
        ram_gb=round(installed_ram() / 1e9, 1),
        compute_dtype=str(dtype).removeprefix("torch."),
        matmul_gflops=round(rate / 1e9, 1),
    )


def processor() -> str:
    """The name of the CPU, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
