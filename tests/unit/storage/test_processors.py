"""How much more the processors could have done, by what the kernel says of the machine and of a quota."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from daemon.storage.processors import idle_s

STAT = "cpu  100 0 50 1000 20 0 0 0 0 0\ncpu0 100 0 50 1000 20 0 0 0 0 0\n"
TICKS = os.sysconf("SC_CLK_TCK")


def kernel(folder: Path, *, cgroup: str, cpu_max: str | None = None, used_us: int = 0) -> tuple[Path, Path]:
    """/proc and /sys/fs/cgroup as a kernel would show them to a process in ``cgroup``."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "stat").write_text(STAT)
    (proc / "self" / "cgroup").write_text(f"1:name=systemd:/elsewhere\n0::{cgroup}\n")
    ours = cgroups / cgroup.lstrip("/")
    ours.mkdir(parents=True)
    (ours / "cpu.stat").write_text(f"usage_usec {used_us}\nuser_usec 1\nsystem_usec 1\n")
    if cpu_max is not None:  # the topmost cgroup of a machine has none
        (ours / "cpu.max").write_text(f"{cpu_max}\n")
    return proc, cgroups


@pytest.mark.parametrize("cpu_max", [None, "max 100000"])
def test_without_a_quota_it_is_the_machine_alone(tmp_path: Path, cpu_max: str | None) -> None:
    assert idle_s(*kernel(tmp_path, cgroup="/", cpu_max=cpu_max)) == (1020 / TICKS,)


@pytest.mark.parametrize("cgroup", ["/", "/system.slice/sweepd.service"])
def test_a_quota_leaves_what_has_not_been_used_of_it(tmp_path: Path, cgroup: str) -> None:
    asked = kernel(tmp_path, cgroup=cgroup, cpu_max="150000 100000", used_us=7_000_000)
    before = time.monotonic()
    machine, left = idle_s(*asked)
    assert machine == 1020 / TICKS
    assert 1.5 * before - 7 <= left <= 1.5 * time.monotonic() - 7


def test_a_kernel_that_says_nothing(tmp_path: Path) -> None:
    assert idle_s(tmp_path / "proc", tmp_path / "cgroup") == ()


def test_this_kernel_says_how_long_its_processors_were_idle() -> None:
    first = idle_s()[0]
    assert 0 < first < (os.cpu_count() or 1) * time.clock_gettime(time.CLOCK_BOOTTIME)
    assert idle_s()[0] >= first
