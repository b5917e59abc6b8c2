"""The most memory of any process while a directory of a million entries is counted and removed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.report import Figure, Report

_CODE = """
import os, sys, threading, time
from pathlib import Path
from daemon.storage.progress import Progress
from daemon.storage.workers import Workers

def peak(pid):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return max((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM")), default=0)

peaks = {}
def watch():
    while True:
        for task in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(task.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    pid = int(task.parent.name)
                    peaks[pid] = max(peaks.get(pid, 0), peak(pid))
            except OSError:
                pass
        time.sleep(0.2)

threading.Thread(target=watch, daemon=True).start()
fd = os.open(sys.argv[1], os.O_RDONLY)
workers = Workers(2, priority="normal")
(census,) = workers.count(fd, ["tree"])
workers.remove(fd, ["tree"], Progress(census.files, census.size_bytes))
workers.close()
print(census.files, max([peak(os.getpid()), *peaks.values()]))
"""


def run(report: Report, folder: Path, *, scale: float) -> None:
    """Measure in a fresh process."""
    number = int(1_000_000 * scale)
    (folder / "tree").mkdir()
    for index in range(number):
        (folder / "tree" / f"{index}").touch()
    done = subprocess.run([sys.executable, "-c", _CODE, str(folder)], capture_output=True, text=True, check=True)
    files, kilobytes = map(int, done.stdout.split())
    assert files == number
    report.add(Figure("memory", f"peak of any process, {number:,} entries", kilobytes / 1000, "MB", 100))
