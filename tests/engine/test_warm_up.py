"""Compiling beforehand leaves nothing to compile, and says how far it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import multiscale_transformer

USE = """
import sys
import numpy as np
from multiscale_transformer.cli.main import main
from multiscale_transformer.kernels.jit import KERNELS
from multiscale_transformer.vision.grounds import grounds
picture = np.frombuffer(bytes(4 * 5 * 3), np.uint8).reshape(4, 5, 3)  # read-only, as what Pillow gives
grounds(picture), grounds(picture.copy()[:, ::-1])
status = main(["complete", "def f(", "--memory", sys.argv[1], "--max-tokens", "8", "--explain"])
compiled = [kernel.py_func.__name__ for kernel in KERNELS if kernel.stats.cache_misses]
assert (status, compiled) == (0, []), (status, compiled)
"""


IMPORTED = """
import sys
import multiscale_transformer.engine.warm_up
print(*sys.modules)
"""


def test_every_module_with_kernels_is_among_those_that_are_compiled_beforehand() -> None:
    package = Path(multiscale_transformer.__file__).parent
    makers = {
        ".".join(path.relative_to(package.parent).with_suffix("").parts)
        for path in package.rglob("*.py")
        if re.search(r"^ *@(jit_|kernel\b)", path.read_text(), re.MULTILINE)
    }
    assert len(makers) > 10
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    modules = subprocess.run([sys.executable, "-c", IMPORTED], env=environment, text=True, capture_output=True, check=True)
    assert makers <= set(modules.stdout.split())


@pytest.mark.slow
def test_after_compiling_nothing_is_compiled(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "NUMBA_CACHE_DIR": str(tmp_path)}

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=500, check=False)  # type: ignore[return-value]

    program = "import sys; from multiscale_transformer.cli.main import main; sys.exit(main())"
    first = run("-c", program, "compile")
    assert first.returncode == 0, first
    lines = first.stderr.splitlines()
    assert lines[0].startswith("compiling for this CPU, once")
    assert all("%" in line for line in lines[1:])
    assert "nothing to do" in run("-c", program, "compile").stdout
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.py").write_text("def f(a):\n    return a\n" * 40)
    assert run("-c", program, "index", str(tmp_path / "text"), "--out", str(tmp_path / "index")).returncode == 0
    used = run("-c", USE, str(tmp_path / "index"))
    assert used.returncode == 0, used
