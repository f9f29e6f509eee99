"""An installation that cannot be written, for somebody without a home: needs root, for a mount of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import multiscale_transformer

PACKAGE = Path(multiscale_transformer.__file__).parent
PROGRAM = "from multiscale_transformer.kernels.kernel_cache import writable_folder; print(writable_folder())"


def mounted(home: str, temporary: Path, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    """Run a program while the package is mounted read-only."""
    place = shlex.quote(str(PACKAGE))
    line = f"mount --bind {place} {place} && mount -o remount,ro,bind {place} && exec {shlex.quote(sys.executable)} -c"
    dropped = ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    known = {name: value for name, value in os.environ.items() if name not in dropped}
    environment = {**known, "HOME": home, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = ["unshare", "-m", "sh", "-c", f"{line} {shlex.quote(program)}"]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=300, check=False)


pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare"
)


def test_without_a_home_kernels_go_into_a_private_temporary_folder(tmp_path: Path) -> None:
    done = mounted("/proc/nowhere", tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "axl-kernels-0")), done
    assert (tmp_path / "axl-kernels-0").stat().st_mode & 0o777 == 0o700


def test_with_a_home_they_go_into_the_cache_folder(tmp_path: Path) -> None:
    done = mounted(str(tmp_path), tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / ".cache" / "axl" / "kernels")), done


@pytest.mark.slow
def test_a_completion_works_without_any_place(tmp_path: Path) -> None:
    words = ["complete", "def f(", "--memory", "none", "--max-tokens", "4"]
    complete = f"from multiscale_transformer.cli.main import main; main({words})"
    done = mounted("/proc/nowhere", tmp_path, complete)
    assert done.returncode == 0, done
    assert done.stdout.startswith("def f(")
    assert "Traceback" not in done.stderr
