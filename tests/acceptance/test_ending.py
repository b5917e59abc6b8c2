"""The end of the real process: it comes within its bound whatever hangs, and what was cut off is settled next time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import requests

import support
from support.auditor import DELETED, KEPT, audit
from support.daemons import TASKS, Daemon, Installation
from support.postgres import PostgresServer
from support.site import opened
from support.stores import Store

CUT_SHORT = 12
CERTIFICATE, KEY = (Path(support.__file__).parent / "tls" / f"{name}.pem" for name in ("certificate", "key"))
SLOWLY = "workers: {max_files_per_second: 150}\n"
GRACE_S = 1


def configured(made: Installation, rest: str = "", *, grace_s: float = GRACE_S) -> Installation:
    text = made.config.read_text(encoding="utf-8").replace("server: {", f"server: {{shutdown_timeout: {grace_s}s, ")
    made.config.write_text(text + rest, encoding="utf-8")
    return made


@contextlib.contextmanager
def stopped_server(server: PostgresServer) -> Iterator[None]:
    """Every process of the server hangs: it takes connections, and answers nothing."""
    pids = [server.pid, *_children(server.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_everything_at_once_is_cut_short_and_settled_later(postgres_installation: Installation) -> None:
    """A single deletion, a batch, a job with a listener, a scan and a sweep of large directories."""
    made = configured(postgres_installation, SLOWLY)
    store = Store(made.url)
    made.write_policies(
        "version: 1\npolicies:\n  - name: old\n    mode: enforce\n    schedule: {every: 1s}\n"
        "    match: {status: failed}\n    action: {delete: directory}\n"
    )
    with opened(store, made.root) as site:
        tasks = [site.task(f"task_{number}", files=600) for number in range(4)]
        tasks.append(site.task("task_swept", files=600, status="failed"))
    with made.daemon() as daemon:
        asked = [
            threading.Thread(target=_ask, args=(daemon, "DELETE", "/task_0", {})),
            threading.Thread(target=_ask, args=(daemon, "DELETE", "", {"task_ids": ["task_1", "task_2"]})),
            threading.Thread(target=_listen, args=(daemon,)),
        ]
        for one in asked:
            one.start()
        _until(lambda: len(daemon.get("/api/v0/data_pipeline/purges").json()["data"]["purges"]) >= 2)
        seconds, status = _terminate(daemon)
        for one in asked:
            one.join()
    assert status == CUT_SHORT
    assert GRACE_S <= seconds < GRACE_S + 5
    assert daemon.events("stopping_cut_short")[0]["reason"].startswith("not done after 1 s")
    text = made.config.read_text(encoding="utf-8").replace(SLOWLY, "")  # and a grace that a busy machine keeps too
    made.config.write_text(text.replace(f"shutdown_timeout: {GRACE_S}s", "shutdown_timeout: 60s"), encoding="utf-8")
    with made.daemon() as daemon:
        for task in tasks:  # what had not begun
            _until(partial(_is_deleted, daemon, task.task_id))
        _until(lambda: not list((made.root / ".sweepd" / "trash").iterdir()))
        assert daemon.terminate() == 0
    assert set(audit(store, made.root, tasks).values()) == {DELETED}


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3")
    made.init()
    configured(made, SLOWLY, grace_s=60)
    store = Store(made.url)
    with opened(store, made.root) as site:
        before = site.task("task_1", files=2_000)
    with made.daemon() as daemon:
        asked = threading.Thread(target=_ask, args=(daemon, "DELETE", "/task_1", {}))
        asked.start()
        _until(lambda: any((made.root / ".sweepd" / "trash").glob("*/*.purge")))
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for_event("stopping")
        assert daemon.process.poll() is None
        daemon.process.send_signal(signal.SIGINT)
        assert daemon.process.wait(10) == CUT_SHORT
        asked.join()
    with opened(store, made.root) as site:
        site.recovery.run()
    assert audit(store, made.root, [before]) == {"task_1": DELETED}


def test_a_database_that_hangs_is_told_and_does_not_keep_it_from_ending(
    postgres_installation: Installation, postgres_server: PostgresServer
) -> None:
    made = configured(postgres_installation)
    with opened(Store(made.url), made.root) as site:
        before = site.task("task_1")
    with made.daemon() as daemon, stopped_server(postgres_server):
        asked = threading.Thread(target=_ask, args=(daemon, "DELETE", "/task_1", {}))
        asked.start()
        _until(lambda: daemon.get("/readyz").status_code == 503)
        assert "answer" in daemon.get("/readyz").json()["data"]["checks"]["catalog"]["problem"]
        assert daemon.get("/livez").status_code == 200
        seconds, status = _terminate(daemon)
        asked.join()
    assert (status in (0, CUT_SHORT), seconds < GRACE_S + 5) == (True, True)
    with opened(Store(made.url), made.root) as site:
        site.recovery.run()
    (fate,) = audit(Store(made.url), made.root, [before]).values()
    assert fate in (KEPT, DELETED)


def test_it_ends_while_it_waits_for_its_database_and_for_clients_that_never_finish(
    postgres_installation: Installation, postgres_server: PostgresServer
) -> None:
    """Before it has ever been ready; one client in the middle of a TLS handshake, one of a request."""
    made = configured(postgres_installation, grace_s=20)
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(
        text.replace("server: {", f"server: {{tls: {{certificate: {CERTIFICATE}, key: {KEY}}}, "), encoding="utf-8"
    )
    postgres_server.stop()
    with made.daemon(ready=False) as daemon:
        daemon.wait_for_event("not_ready", component="catalog")
        port = int(daemon.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"\x16\x03\x01")
            seconds, status = _terminate(daemon)
    assert (status, seconds < 15) == (0, True), seconds


@pytest.mark.parametrize(
    "error", ["full", *(pytest.param(error, marks=pytest.mark.exhaustive) for error in ("gone", "closed"))]
)
def test_a_log_that_nobody_reads_ends_and_blocks_nothing(tmp_path: Path, error: str) -> None:
    """Standard error is a pipe that is full, one without a reader, or not there at all."""
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3")
    made.init()
    port = _free_port()
    text = made.config.read_text(encoding="utf-8").replace("port: 0", f"port: {port}")
    made.config.write_text(text.replace("log: {format: json}", "log: {format: json, level: debug}"), encoding="utf-8")
    with opened(Store(made.url), made.root) as site:
        tasks = [site.task(f"task_{number}", files=1, steps=0) for number in range(30)]
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    if error == "gone":
        os.close(reader)
    arguments = [sys.executable, "-m", "daemon", "--config", str(made.config), "run"]
    command = ["sh", "-c", 'exec "$0" "$@" 2>&-', *arguments] if error == "closed" else arguments
    process = subprocess.Popen(command, stderr=writer, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    os.close(writer)
    address = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _ready(address))
        for task in tasks:
            answer = requests.delete(f"{address}{TASKS}/{task.task_id}", json={"confirm": True}, timeout=30)
            assert answer.status_code == 200
        metrics = requests.get(f"{address}/metrics", timeout=30).text
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        if error != "gone":
            os.close(reader)
    dropped = next(line for line in metrics.splitlines() if line.startswith("sweepd_log_lines_dropped_total"))
    # What does not fit a full pipe waits in memory; what was closed is /dev/null.
    assert (float(dropped.split()[1]) > 0) is (error == "gone")
    assert set(audit(Store(made.url), made.root, tasks).values()) == {DELETED}


def _terminate(daemon: Daemon) -> tuple[float, int]:
    """How long it took, in seconds, and the exit status."""
    started = time.monotonic()
    status = daemon.terminate()
    return time.monotonic() - started, status


def _ask(daemon: Daemon, method: str, path: str, body: dict[str, object]) -> None:
    with contextlib.suppress(requests.RequestException):  # the daemon may be gone by then
        requests.request(method, f"{daemon.address}{TASKS}{path}", json={"confirm": True, **body}, timeout=60)


def _is_deleted(daemon: Daemon, task_id: str) -> bool:
    return daemon.delete(task_id).status_code == 200


def _listen(daemon: Daemon) -> None:
    with contextlib.suppress(requests.RequestException):
        body = {"confirm": True, "async": True}
        job = requests.delete(f"{daemon.address}{TASKS}/task_3", json=body, timeout=60).json()["data"]
        for _ in requests.get(f"{daemon.address}{job['events_url']}", stream=True, timeout=60).iter_lines():
            pass


def _ready(address: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(f"{address}/readyz", timeout=5).status_code == 200
    return False


def _until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
