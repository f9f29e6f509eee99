"""Limits of control groups count, those of every group around a process, in both versions; the trees here are made up."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multiscale_transformer.machine import System, available_cores, available_ram, installed_ram

MIB = 1 << 20


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    return 16


def system(root: Path, membership: str, **files: str) -> System:
    """A machine whose process is in the groups of `membership`, with these files below `root`."""
    written = {"proc/self/cgroup": membership, "proc/meminfo": "MemTotal: 9999999 kB\nMemAvailable: 2097152 kB\n"}
    for name, content in {**written, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (root / "cgroup").mkdir(exist_ok=True)
    return System(root / "proc", root / "cgroup")


@pytest.mark.parametrize(
    ("limit", "expected"), [("max 100000", 16), ("150000 100000", 2), ("5000 100000", 1), ("3200000 100000", 16), ("odd", 16)]
)
def test_the_quota_of_version_2(tmp_path: Path, cores: int, limit: str, expected: int) -> None:
    assert available_cores(system(tmp_path, "0::/a/b\n", **{"cgroup/a/b/cpu.max": limit + "\n"})) == expected


def test_every_group_around_it_counts(tmp_path: Path, cores: int) -> None:
    files = {"cgroup/a/b/cpu.max": "max 100000\n", "cgroup/a/cpu.max": "300000 100000\n", "cgroup/cpu.max": "800000 100000\n"}
    assert available_cores(system(tmp_path, "0::/a/b\n", **files)) == 3
    memory = {
        "cgroup/a/b/memory.max": "max\n",
        "cgroup/a/memory.max": f"{64 * MIB}\n",
        "cgroup/a/memory.current": f"{60 * MIB}\n",
    }
    assert available_ram(system(tmp_path, "0::/a/b\n", **memory)) == 4 * MIB
    assert installed_ram(system(tmp_path, "0::/a/b\n", **memory)) == 64 * MIB


def test_version_1_where_both_are_mounted(tmp_path: Path, cores: int) -> None:
    membership = "4:memory:/pod/x\n2:cpu,cpuacct:/pod\n0::/\n"
    files = {
        "cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us": "250000\n",
        "cgroup/cpu,cpuacct/pod/cpu.cfs_period_us": "100000\n",
        "cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "cgroup/memory/pod/x/memory.limit_in_bytes": f"{100 * MIB}\n",
        "cgroup/memory/pod/x/memory.usage_in_bytes": f"{90 * MIB}\n",
        "cgroup/memory/pod/x/memory.stat": f"cache 1\ntotal_inactive_file {30 * MIB}\n",
        "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "cgroup/unified/cgroup.procs": "",
    }
    made = system(tmp_path, membership, **files)
    assert (available_cores(made), available_ram(made), installed_ram(made)) == (3, 40 * MIB, 100 * MIB)


def test_in_a_container_the_path_is_the_hosts(tmp_path: Path, cores: int) -> None:
    files = {"cgroup/cpu.max": "200000 100000\n", "cgroup/memory.max": f"{64 * MIB}\n", "cgroup/memory.high": f"{32 * MIB}\n"}
    made = system(tmp_path, "0::/docker/0123\n", **files)
    assert (available_cores(made), installed_ram(made)) == (2, 32 * MIB)


def test_without_limits_it_is_what_the_machine_has(tmp_path: Path, cores: int) -> None:
    made = system(tmp_path, "0::/\n")
    assert (available_cores(made), available_ram(made)) == (16, 2 << 30)
    nothing = System(tmp_path / "none", tmp_path / "none")
    assert available_cores(nothing) == 16
    assert available_ram(nothing) == installed_ram(nothing) // 2


def test_a_group_that_is_full_leaves_nothing(tmp_path: Path) -> None:
    files = {"cgroup/memory.max": f"{MIB}\n", "cgroup/memory.current": f"{2 * MIB}\n"}
    assert available_ram(system(tmp_path, "0::/\n", **files)) == 0


@pytest.mark.skipif(
    not os.access("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", os.W_OK) or os.geteuid() != 0,
    reason="needs root and cgroups (version 1)",
)
def test_a_real_group() -> None:
    group = Path(f"/sys/fs/cgroup/cpu/axl-test-{os.getpid()}")
    group.mkdir()
    try:
        (group / "cpu.cfs_quota_us").write_text("50000")
        program = (
            "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()))\n"
            "from multiscale_transformer.machine import available_cores; print(available_cores())"
        )
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", program, str(group / "cgroup.procs")]
        assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "1\n"
    finally:
        group.rmdir()
