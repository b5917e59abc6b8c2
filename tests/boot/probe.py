"""Runs inside the unit's sandbox, in the place of the daemon, and says what it could do there: JSON on its output."""

import ctypes
import errno
import json
import mmap
import os
import socket
import sys
from collections.abc import Callable

LIBC = ctypes.CDLL(None, use_errno=True)
ROOT = sys.argv[1]


def called(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def write(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.remove(path)


def rename_without_replacing() -> None:
    os.mkdir(f"{ROOT}/probe-a")
    try:
        called(LIBC.renameat2(-100, f"{ROOT}/probe-a".encode(), -100, f"{ROOT}/probe-b".encode(), 1))
    finally:
        for name in ("probe-a", "probe-b"):
            if os.path.exists(f"{ROOT}/{name}"):
                os.rmdir(f"{ROOT}/{name}")


def openat2() -> None:
    how = (ctypes.c_uint64 * 3)(os.O_DIRECTORY | os.O_CLOEXEC, 0, 0x01 | 0x02 | 0x04 | 0x08)
    folder = os.open(ROOT, os.O_DIRECTORY)
    called(LIBC.syscall(437, folder, b".", ctypes.byref(how), ctypes.sizeof(how)))


def run_from_root() -> None:
    path = f"{ROOT}/probe-program"
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\ntrue\n")
    os.chmod(path, 0o755)
    try:
        os.posix_spawn(path, [path], {})
    finally:
        os.remove(path)


def read(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        file.read()


def connect(host: str) -> None:
    with socket.socket() as one:
        one.settimeout(2)
        one.connect((host, 9))


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write in the root": lambda: write(f"{ROOT}/probe"),
    "write beside the root": lambda: write(os.path.dirname(ROOT) + "/probe"),
    "write in /etc": lambda: write("/etc/probe"),
    "write in /etc/sweepd": lambda: write("/etc/sweepd/probe"),
    "write in /opt/sweepd": lambda: write("/opt/sweepd/probe"),
    "write in /usr": lambda: write("/usr/probe"),
    "write in its state": lambda: write("/var/lib/sweepd/probe"),
    "read /root": lambda: os.listdir("/root"),
    "read root's tokens": lambda: read("/etc/sweepd/credentials/tokens"),
    "read its credential": lambda: read(os.environ.get("CREDENTIALS_DIRECTORY", "") + "/tokens"),
    "openat2": openat2,
    "renameat2": rename_without_replacing,
    "statx": lambda: os.stat(ROOT),
    "be idle": lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)),
    "ioprio_set": lambda: called(LIBC.syscall(251, 1, 0, 3 << 13)),
    "be real-time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "run a program that lies in the root": run_from_root,
    "mount": lambda: called(LIBC.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "a new user name space": lambda: called(LIBC.unshare(0x10000000)),
    "chown": lambda: os.chown(ROOT, 0, 0),
    "become root": lambda: os.setuid(0),
    "memory to write and execute": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
    "a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "a connection elsewhere": lambda: connect("192.0.2.1"),
    "see the first process": lambda: os.stat("/proc/1"),
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "timeout")
    return "done"


if __name__ == "__main__":
    print(json.dumps({name: outcome(attempt) for name, attempt in ATTEMPTS.items()}))
