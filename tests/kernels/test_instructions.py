"""Every set of instructions that the kernels know gives the same sums, as far as this CPU can run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import llvmlite.binding
import pytest

PROGRAM = """
import sys
import llvmlite.binding

missing = sys.argv[1].split()
known = llvmlite.binding.get_host_cpu_features()
for name in known:
    if any(name.startswith(begin) for begin in missing):
        known[name] = False
llvmlite.binding.get_host_cpu_features = lambda: known

import hashlib
import numpy as np
from multiscale_transformer.kernels import gemm_int8
from multiscale_transformer.kernels.quantized_linear import multiply, new_activations, quantize_row
from multiscale_transformer.quantization.quantize import Packer

rng, sums = np.random.default_rng(0), hashlib.sha256()
for bits in (8, 4):
    packer = Packer()
    index = packer.add(rng.normal(size=(22, 330)).astype(np.float32), rng.normal(size=22).astype(np.float32), bits)
    packed, acts = packer.packed(), new_activations(9, 384)
    x = rng.normal(size=(9, 330)).astype(np.float32)
    for rows in (1, 2, 4, 7, 9):
        y = np.zeros((9, 24), np.float32)
        for row in range(rows):
            quantize_row(packed, index, x[row], row, acts)
        multiply(packed, index, rows, acts, y, 0, 1)
        sums.update(y[:, :22].tobytes())
print(gemm_int8.BYTES, gemm_int8.COLUMNS, sums.hexdigest())
"""
SETS = {"all": "", "AVX-VNNI": "avx512", "AVX2": "avx512 avxvnni", "neither": "avx"}


@pytest.mark.slow
def test_all_sums_are_the_same(tmp_path: Path) -> None:
    if not llvmlite.binding.get_host_cpu_features().get("avx2"):
        pytest.skip("this CPU has one set only")
    found = {}
    for name, missing in SETS.items():
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / name)}
        command = [sys.executable, "-c", PROGRAM, missing]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
        found[name] = done.stdout.split()
    assert len({sums for *_, sums in found.values()}) == 1, found
    assert found["neither"][:2] == found["AVX2"][:2] == ["32", "2"]
