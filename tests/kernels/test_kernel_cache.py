"""Kernels are kept where they can be, and what is damaged, foreign or planted is compiled anew."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from multiscale_transformer.kernels import kernel_cache
from multiscale_transformer.kernels.kernel_cache import KernelCache, cache_folders, source_stamp, writable_folder

# A kernel of its own, which takes less than a second to compile; it says how often it was compiled and whether it is right.
SOURCE = """
from multiscale_transformer.kernels.jit import kernel
from multiscale_transformer.kernels.kernel_cache import cache_folders, writable_folder

@kernel()
def plus(a):
    return a + 1

assert plus(1) == 2
assert plus(1.5) == 2.5
print(sum(plus.stats.cache_misses.values()), writable_folder(), sep="\\n")
"""
Use = Callable[..., tuple[int, str]]


@pytest.fixture
def use(tmp_path: Path) -> Use:
    """Call the kernel in a process of its own: how many forms were compiled, and where they are written."""
    (tmp_path / "plus_kernel.py").write_text(SOURCE)

    def call(**changes: str | None) -> tuple[int, str]:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "NUMBA_CACHE_DIR": str(tmp_path / "nc"),
        }
        known = {name: value for name, value in {**environment, **changes}.items() if value is not None}
        done = subprocess.run(
            [sys.executable, "plus_kernel.py"],
            cwd=tmp_path,
            env=known,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        misses, folder = done.stdout.splitlines()
        return int(misses), folder

    return call


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kernel"))


def test_a_kernel_is_compiled_once_where_numba_cache_dir_says(use: Use, tmp_path: Path) -> None:
    assert use() == (2, str(tmp_path / "nc" / "axl-kernels"))
    assert use()[0] == 0
    assert len(kept(tmp_path)) == 2


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 1000, -1])
def test_a_truncated_file_is_removed_and_compiled_anew(use: Use, tmp_path: Path, length: int) -> None:
    use()
    files = kept(tmp_path)
    for path in files:
        path.write_bytes(path.read_bytes()[:length])
    assert use()[0] == 2
    assert use()[0] == 0
    assert kept(tmp_path) == files


def test_a_foreign_file_is_removed_and_compiled_anew(use: Use, tmp_path: Path) -> None:
    use()
    content = pickle.dumps("something else")
    for path in kept(tmp_path):
        path.write_bytes(kernel_cache.hashlib.sha256(content).digest() + content)
    assert use()[0] == 2
    assert use()[0] == 0


def test_two_first_uses_at_once(use: Use, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(use) for _ in range(3)]:
            done.result()
    assert use()[0] == 0
    assert [path.suffix for path in (tmp_path / "nc" / "axl-kernels").iterdir()] == [".kernel"] * 2


def test_a_folder_that_cannot_be_made_costs_the_cache_and_nothing_else(use: Use, tmp_path: Path) -> None:
    (tmp_path / "nc").write_text("a file")
    assert use() == (2, "None")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """The choice of folders, made anew for an installation that cannot be written."""
    monkeypatch.setattr(kernel_cache.config, "CACHE_DIR", "")
    monkeypatch.setattr(kernel_cache, "__file__", "/dev/null/kernel_cache.py")
    monkeypatch.setattr(kernel_cache, "user_cache_path", lambda *_, **__: tmp_path / "user")
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    cache_folders.cache_clear()
    writable_folder.cache_clear()
    yield tmp_path
    cache_folders.cache_clear()
    writable_folder.cache_clear()


def test_the_users_cache_folder_comes_after_the_installation(fresh: Path) -> None:
    assert writable_folder() == fresh / "user" / "kernels"
    assert (fresh / "user" / "kernels").stat().st_mode & 0o777 == 0o700


def test_without_one_the_folder_for_temporary_files_is_used_by_this_user_alone(fresh: Path) -> None:
    (fresh / "user").write_text("a file")
    folder = writable_folder()
    assert folder == fresh / f"axl-kernels-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("planted", ["world-writable", "of another user", "a link"])
def test_a_folder_that_another_could_have_filled_is_not_read(fresh: Path, planted: str) -> None:
    (fresh / "user").write_text("a file")
    folder = fresh / f"axl-kernels-{os.geteuid()}"
    if planted == "a link":
        (fresh / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(fresh / "elsewhere")
    else:
        folder.mkdir(mode=0o700)
        if planted == "world-writable":
            folder.chmod(0o777)
        elif os.geteuid() == 0:
            os.chown(folder, 12345, 12345)
        else:
            pytest.skip("only root can give a folder away")
    assert folder not in cache_folders()
    assert writable_folder() is None


def test_a_kernel_depends_on_the_modules_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    module, source = "multiscale_transformer.engine.compiled_model", kernel_cache._source
    before = source_stamp(module)
    for changed in (
        "kernels.gemm_int8",
        "kernels.memory_fusion",
        "kernels.jit",
        "kernels.network",
        "kernels.blocks",
        "engine.compiled_model",
    ):
        monkeypatch.setattr(kernel_cache, "_source", lambda name, of=changed: source(name) + b"#" * name.endswith(of))
        source_stamp.cache_clear()
        assert source_stamp(module) != before, changed
    source_stamp.cache_clear()


def test_its_name_says_which_function_it_is() -> None:
    assert KernelCache(source_stamp.__wrapped__).name == "kernels.kernel_cache.source_stamp"
