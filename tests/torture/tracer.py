"""strace, attached to a stopped child: counts its system calls, kills it before one of them, or makes one fail."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from support.processes import Child, Finished, ForkServer

# They change nothing that outlives the process, and nothing waits for them.
HARMLESS: Final = frozenset(
    {
        "brk",
        "mmap",
        "munmap",
        "mremap",
        "mprotect",
        "madvise",
        "futex",
        "getpid",
        "gettid",
        "getuid",
        "geteuid",
        "getgid",
        "getegid",
        "getrandom",
        "rt_sigaction",
        "rt_sigprocmask",
        "rt_sigreturn",
        "sigaltstack",
        "clock_gettime",
        "clock_nanosleep",
        "gettimeofday",
        "time",
        "sched_yield",
        "exit_group",
        "exit",
        "kill",
        "tgkill",
        "restart_syscall",
        "prlimit64",
        "uname",
        "sysinfo",
        "getcwd",
        "umask",
        "set_robust_list",
        "rseq",
        "sched_getaffinity",
        "arch_prctl",
        "set_tid_address",
    }
)
# Those that the file system answers, and can refuse.
FILE_SYSTEM: Final = frozenset(
    {
        "openat",
        "openat2",
        "mkdirat",
        "mkdir",
        "renameat2",
        "renameat",
        "rename",
        "unlinkat",
        "unlink",
        "rmdir",
        "fsync",
        "fdatasync",
        "write",
        "pwrite64",
        "ftruncate",
        "fallocate",
        "getdents64",
        "newfstatat",
        "statx",
        "flock",
        "fchmod",
    }
)
_CALL: Final = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?([a-z_0-9]+)\(")
_PATIENCE_S: Final = 30.0


def possible() -> str | None:
    """Why this machine lets nobody trace; None if it does."""
    if shutil.which("strace") is None:
        return "there is no strace"
    done = subprocess.run(["strace", "-qq", "-o", os.devnull, "true"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"strace may not trace: {done.stderr.strip()[:100]}"


def calls(server: ForkServer, function: str, **arguments: object) -> list[str]:
    """The system calls of one undisturbed run, in order, as strace writes them."""
    with tempfile.TemporaryDirectory(prefix="sweepd-trace-") as folder:
        output = Path(folder) / "trace"
        child = server.spawn(function, **arguments)
        ended = _under(child, ["-y", "-s", "200", "-o", str(output)])
        assert ended.killed_by is None
        lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if (match := _CALL.match(line)) and match[1] not in HARMLESS]


def counted(lines: list[str]) -> Counter[str]:
    """How often each system call was made."""
    return Counter(match[1] for line in lines if (match := _CALL.match(line)))


def run(server: ForkServer, inject: str, function: str, **arguments: object) -> Finished:
    """Run with one fault, such as ``fsync:signal=KILL:when=2`` or ``openat:error=EIO:when=5``."""
    call = inject.partition(":")[0]
    child = server.spawn(function, **arguments)
    return _under(child, ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={inject}"])


def _under(child: Child, options: list[str]) -> Finished:
    _wait_until(child, lambda status: "\nState:\tT" in status or "\nState:\tZ" in status)
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", *options, "-p", str(child.pid)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _wait_until(child, lambda status: "\nTracerPid:\t0\n" not in status)
        os.kill(child.pid, signal.SIGCONT)
        return _end(child)
    finally:
        try:
            tracer.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()
        assert tracer.stderr is not None
        tracer.stderr.close()


def _end(child: Child) -> Finished:
    try:
        return child.wait()
    except ValueError:  # the fault hit the child's last words
        return Finished(None, None)


def _wait_until(child: Child, holds: Callable[[str], bool]) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return
        if holds(status):
            return
        time.sleep(0.001)
    raise AssertionError(f"process {child.pid} did not get there")
