"""How many cores and how much memory this process may use: what the machine has, within the limits of its control groups.

A container sees the cores and the memory of its host. What it may use of them stands in /sys/fs/cgroup: `cpu.max` and
`memory.max` in version 2, `cpu.cfs_quota_us` and `memory.limit_in_bytes` in version 1, for the group of the process and for
every group that it lies in, and each of them holds. More threads than cores stand in each other's way; memory beyond the limit
ends with a kill.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNKNOWN_RAM = 8 << 30  # where the system does not say
_FREE_OF_CACHE = ("inactive_file", "total_inactive_file")  # memory that a group counts as used and gives back when asked


@dataclass(frozen=True)
class System:
    """Where the kernel says what there is; tests have their own."""

    proc: Path = Path("/proc")
    cgroup: Path = Path("/sys/fs/cgroup")


HERE = System()


def available_cores(system: System = HERE) -> int:
    """Cores that this process may use, by affinity and by the quotas of its groups; part of one is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _groups(system, "cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([cores, *(math.ceil(quota) for quota in quotas)]))


def available_ram(system: System = HERE) -> int:
    """Bytes that can be taken without swapping and without reaching the limit of a group; half of what is installed where
    the system does not say."""
    try:
        lines = (system.proc / "meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        free = installed_ram(system) // 2
    rooms = [limit - _used(folder) for folder in _groups(system, "memory") if (limit := _limit(folder)) is not None]
    return max(0, min([free, *rooms]))


def installed_ram(system: System = HERE) -> int:
    """Bytes of memory of this machine, or of the smallest group around this process."""
    try:
        installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        installed = UNKNOWN_RAM
    return min([installed, *(limit for folder in _groups(system, "memory") if (limit := _limit(folder)) is not None)])


def _groups(system: System, controller: str) -> Iterator[Path]:
    """The folders of the groups that this process is in, the innermost first, in version 1 and in version 2.

    In a container the path may be the host's, of which only the end is mounted; what is not there is passed over.
    """
    try:
        lines = (system.proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        names = [controllers, controller] if controllers else ["", "unified"]  # v1 mounts `cpu,cpuacct`; hybrids have v2 aside
        for root in dict.fromkeys(system.cgroup / name for name in names):
            inner = root / path.strip("/")
            if root.is_dir():
                yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(root) and folder.is_dir())


def _quota(folder: Path) -> float | None:
    """Cores that a group may keep busy, None without a limit."""
    words = _read(folder / "cpu.max").split()
    if not words:
        words = [_read(folder / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
    try:
        quota, period = map(float, words)
    except ValueError:  # "max", or no such file
        return None
    return quota / period if quota > 0 and period > 0 else None


def _limit(folder: Path) -> int | None:
    """Bytes that a group may use, None without a limit; version 1 says that with a number near 2 ** 63."""
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    limits = [int(text) for name in names if (text := _read(folder / name).strip()).isdigit()]
    return min(limits) if limits and min(limits) < 1 << 60 else None


def _used(folder: Path) -> int:
    """Bytes that a group uses and would not give back."""
    texts = (_read(folder / name).strip() for name in ("memory.current", "memory.usage_in_bytes"))
    used = next((int(text) for text in texts if text.isdigit()), 0)
    fields = dict(line.split(" ", 1) for line in _read(folder / "memory.stat").splitlines() if " " in line)
    cached = max((int(text) for name in _FREE_OF_CACHE if (text := fields.get(name, "")).isdigit()), default=0)
    return max(0, used - cached)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
