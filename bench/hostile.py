"""How fast ``/livez`` answers while thousands of clients are slow on purpose."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from bench.report import Figure, Report
from support.daemons import Daemon, Installation
from support.postgres import PostgresServer, create_pipeline_tables

# As many as asked for are kept open: whoever is thrown out comes back. A tenth sends its head byte by byte, a tenth its
# body, the rest half a head and then nothing.
_FLOOD = """
import asyncio, sys
port, number = int(sys.argv[1]), int(sys.argv[2])
HEAD = b"DELETE /api/v0/data_pipeline/tasks HTTP/1.1\\r\\nHost: localhost\\r\\nContent-Type: application/json\\r\\n"
WHOLE = HEAD + b"Content-Length: 1000\\r\\n\\r\\n"

async def client(kind):
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            first = {0: b"", 1: WHOLE}.get(kind, HEAD)
            writer.write(first)
            if kind > 1:
                await reader.read()
            else:
                gone = asyncio.create_task(reader.read())
                for byte in (WHOLE if kind == 0 else b" " * 1000):
                    if gone.done():
                        break
                    writer.write(bytes([byte]))
                    await asyncio.sleep(1)
                await gone
            writer.close()
        except OSError:
            pass
        await asyncio.sleep(0.5)

async def main():
    tasks = [asyncio.create_task(client(index % 10)) for index in range(number)]
    await asyncio.sleep(3)
    print("ready", flush=True)
    await asyncio.gather(*tasks)

asyncio.run(main())
"""


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Idle, then with the flood, of the same daemon. Each request is a connection of its own."""
    number = int(2000 * scale)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, number + 1000)), hard))
    url = server.create_database()
    create_pipeline_tables(url)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Installation(Path(place) / "site", url)
        made.run("init")
        with made.daemon() as daemon:
            _ask(daemon, 100)
            idle = _ask(daemon, 300)
            port = daemon.address.rpartition(":")[2]
            flood = subprocess.Popen([sys.executable, "-c", _FLOOD, port, str(number)], stdout=subprocess.PIPE)
            try:
                assert flood.stdout is not None
                assert flood.stdout.readline() == b"ready\n"
                held = len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
                busy = _ask(daemon, 500)
            finally:
                flood.kill()
                flood.wait()
    report.add(Figure("hostile", "/livez p99 idle, one connection each", idle, "ms"))
    report.add(Figure("hostile", f"descriptors of the daemon, {number:,} slow clients", held, ""))
    report.add(Figure("hostile", f"/livez p99 with {number:,} slow clients", busy, "ms", 50))


def _ask(daemon: Daemon, times: int) -> float:
    """p99 in milliseconds."""
    seconds: list[float] = []
    for _ in range(times):
        started = time.perf_counter()
        assert requests.get(f"{daemon.address}/livez", timeout=30).status_code == 200
        seconds.append(time.perf_counter() - started)
        time.sleep(0.002)
    return statistics.quantiles(seconds, n=100)[98] * 1000
