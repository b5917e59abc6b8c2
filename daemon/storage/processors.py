"""How long the processors had nothing to do: those of the machine, and the share of them that a quota leaves us."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_CGROUPS: Final = Path("/sys/fs/cgroup")


def idle_s(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> tuple[float, ...]:
    """Seconds of all processors together in which more could have been done, by each that sets a bound.

    Only differences mean anything, and of these the smallest. The bounds are the machine and, where our own cgroup
    has one, its quota (CPUQuota= of systemd, ``--cpus`` of a container). None where the kernel does not say.
    Source: ``idle`` and ``iowait`` of proc_stat(5); cpu.max and cpu.stat of
    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    bounds = (_of_machine_s(proc), _of_quota_s(proc, cgroups))
    return tuple(bound for bound in bounds if bound is not None)


def _of_machine_s(proc: Path) -> float | None:
    try:
        idle, waiting = (proc / "stat").read_bytes().split(b"\n", 1)[0].split()[4:6]
        return (int(idle) + int(waiting)) / _TICKS
    except (OSError, ValueError):
        return None


def _of_quota_s(proc: Path, cgroups: Path) -> float | None:
    try:
        ours = next(line for line in (proc / "self" / "cgroup").read_text().splitlines() if line.startswith("0::"))
        folder = cgroups / ours.removeprefix("0::").lstrip("/")
        quota, period = (folder / "cpu.max").read_text().split()
        if quota == "max":
            return None
        used = next(line for line in (folder / "cpu.stat").read_text().splitlines() if line.startswith("usage_usec "))
        return time.monotonic() * int(quota) / int(period) - int(used.split()[1]) / 1_000_000
    except (OSError, ValueError, StopIteration):
        return None
