"""The files change while the daemon runs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

import support
from support.daemons import TASKS, Daemon, Installation, Process
from support.stores import Store
from support.trees import fill

POLICY = """
version: 1
policies:
  - name: {name}
    schedule: {{every: {every}}}
    match: {{older_than: 30d}}
    action: {{delete: directory}}
    mode: {mode}
"""
OLD = POLICY.format(name="old", every="1h", mode="observe")
NEW = POLICY.format(name="new", every="2h", mode="observe")
BROKEN = OLD.replace("older_than: 30d", "older_than: 30")
POLICIES = "/api/v0/policies"
SUCCESSFUL = "sweepd_config_last_reload_successful"
# What an allocator keeps for itself; 200 leaked policy sets or servers are several times as much.
MOST_GROWTH_KB = 4_000
TLS = Path(support.__file__).parent / "tls"
CERTIFICATE, KEY = TLS / "certificate.pem", TLS / "key.pem"
OTHER_CERTIFICATE, OTHER_KEY = TLS / "other-certificate.pem", TLS / "other-key.pem"
TOKEN = "a_token_of_sixteen"
LONG_AGO = "2020-01-01 00:00:00"


def names(daemon: Daemon) -> list[str]:
    return [policy["name"] for policy in daemon.get(POLICIES).json()["data"]["policies"]]


def metric(daemon: Daemon, name: str) -> float:
    lines = daemon.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def _wait(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def load(daemon: Daemon, clients: int = 4) -> Iterator[list[tuple[int, str]]]:
    """Clients that read and delete all the time; the status and text of every answer."""
    answers: list[tuple[int, str]] = []
    stop = threading.Event()

    def client() -> None:
        with requests.Session() as session:
            while not stop.is_set():
                for path in (TASKS, POLICIES, "/livez", "/metrics"):
                    response = session.get(daemon.address + path, timeout=30)
                    answers.append((response.status_code, "" if response.ok else response.text))
                url = f"{daemon.address}{TASKS}/task_kept"
                response = session.delete(url, json={"confirm": True}, timeout=30)
                answers.append((200 if response.status_code == 409 else response.status_code, response.text))

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_mistakes_change_nothing_under_load_and_mended_files_count(installation: Installation, store: Store) -> None:
    store.add_task("task_kept", status="in_progress")
    installation.write_policies(OLD)
    with installation.daemon() as daemon:
        with load(daemon) as answers:
            installation.write_policies(BROKEN)
            daemon.process.send_signal(signal.SIGHUP)
            refused = daemon.wait_for_event("reload_failed", trigger="SIGHUP")
            assert refused["problems"][0].startswith(f"{installation.folder}/policies/policies.yaml:6:25: ")
            assert names(daemon) == ["old"]
            assert metric(daemon, SUCCESSFUL) == 0
            told = installation.run("reload", check=False)
            assert (told.returncode, "policies.yaml:6:25" in told.stderr) == (3, True)
            installation.write_policies(NEW)
            assert "policies: new; changed: policy new, policy old" in installation.run("reload").stdout
            assert names(daemon) == ["new"]
            assert metric(daemon, SUCCESSFUL) == 1
            assert daemon.wait_for_event("policy_scheduled", policy="new")
        assert len(answers) > 20
        assert {status for status, _ in answers} == {200}, [text for status, text in answers if status != 200][:3]
        # what only a start can change is refused the same way
        text = installation.config.read_text(encoding="utf-8")
        installation.config.write_text(text.replace("port: 0", "port: 1"), encoding="utf-8")
        told = installation.run("--server", daemon.address, "reload", check=False)
        assert (told.returncode, "server.port" in told.stderr) == (8, True)
        assert daemon.process.poll() is None
        # tokens are asked for from the reload on, and no longer from the next one on
        installation.config.write_text(text.replace("port: 0", f"port: 0, tokens: ['{TOKEN}']"), encoding="utf-8")
        assert "changed: server.tokens" in installation.run("reload").stdout
        assert daemon.get(POLICIES).status_code == 401
        header = {"Authorization": f"Bearer {TOKEN}"}
        assert requests.get(daemon.address + POLICIES, headers=header, timeout=30).status_code == 200
        installation.config.write_text(text, encoding="utf-8")
        assert requests.post(f"{daemon.address}/api/v0/reload", headers=header, timeout=30).status_code == 200
        assert names(daemon) == ["new"]
        daemon.terminate()
    told = installation.run("reload", check=False)
    assert (told.returncode, "no daemon" in told.stderr) == (8, True)


def test_a_sweep_ends_by_the_policy_it_began_with(installation: Installation, store: Store) -> None:
    ids = [f"task_{number}" for number in range(12)]
    for task_id in ids:
        store.add_task(task_id, status="completed", created_at=LONG_AGO, completed_at=LONG_AGO)
        fill(installation.root / task_id, 30)
    text = installation.config.read_text(encoding="utf-8")
    installation.config.write_text(f"{text}workers: {{max_files_per_second: 100}}\n", encoding="utf-8")
    installation.write_policies(POLICY.format(name="old", every="30d", mode="enforce"))
    reports: list[requests.Response] = []
    with installation.daemon() as daemon:
        url = f"{daemon.address}{POLICIES}/old/sweeps"
        sweep = threading.Thread(target=lambda: reports.append(requests.post(url, json={"confirm": True}, timeout=60)))
        sweep.start()
        _wait(lambda: len(list(installation.root.iterdir())) < 12)
        installation.write_policies(NEW)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for_event("reloaded")
        assert names(daemon) == ["new"]
        assert sweep.is_alive(), "the reload was to come in the middle"
        assert requests.post(url, json={"confirm": True}, timeout=30).status_code == 404
        sweep.join()
    report = reports[0].json()["data"]
    assert (report["outcome"], len(report["deleted"])) == ("success", 12)


def test_a_change_of_the_files_is_enough_where_it_is_to_be(postgres_installation: Installation) -> None:
    made = postgres_installation
    made.write_policies(OLD)
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(f"{text}reload: {{on_change: true}}\n", encoding="utf-8")
    with made.daemon() as daemon:
        made.write_policies(NEW)
        daemon.wait_for_event("reloaded", trigger="change")
        assert names(daemon) == ["new"]


def test_a_new_certificate_or_the_old_one_stays(tmp_path: Path) -> None:
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3")
    made.init()
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    shutil.copyfile(CERTIFICATE, certificate)
    shutil.copyfile(KEY, key)
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(text.replace("port: 0", f"port: 0, tls: {{certificate: '{certificate}', key: '{key}'}}"))
    with made.daemon() as daemon:

        def answered_to_one_who_trusts(trusted: Path) -> int:
            return requests.get(f"{daemon.address}/livez", verify=str(trusted), timeout=30).status_code

        key.write_text("no key", encoding="utf-8")
        told = made.run("reload", check=False)
        assert (told.returncode, "server.tls" in told.stderr) == (8, True), told.stderr
        assert answered_to_one_who_trusts(CERTIFICATE) == 200
        shutil.copyfile(OTHER_CERTIFICATE, certificate)
        shutil.copyfile(OTHER_KEY, key)
        made.run("reload")
        assert answered_to_one_who_trusts(OTHER_CERTIFICATE) == 200
        with pytest.raises(requests.exceptions.SSLError):
            answered_to_one_who_trusts(CERTIFICATE)


def test_a_signal_that_comes_during_the_start_is_not_lost(postgres_installation: Installation) -> None:
    made = postgres_installation
    made.write_policies(OLD)
    with made.daemon(ready=False, early=_hang_up) as daemon:
        daemon.wait_for_event("reloaded", trigger="SIGHUP")
        daemon.wait_for_event("ready")


def _hang_up(process: Process) -> None:
    """As soon as the process minds the signal."""
    mask = re.compile(r"^SigCgt:\s*[0-9a-f]*[13579bdf]$", re.MULTILINE)  # SIGHUP is the lowest bit
    _wait(lambda: mask.search(Path(f"/proc/{process.pid}/status").read_text()) is not None)
    process.send_signal(signal.SIGHUP)


@pytest.mark.exhaustive
def test_two_hundred_reloads_leave_nothing_behind(postgres_installation: Installation) -> None:
    made = postgres_installation
    made.write_policies(OLD)
    with made.daemon() as daemon, requests.Session() as session:

        def reload(number: int) -> None:
            text, status = ((OLD, 200), (NEW, 200), (BROKEN, 422))[number % 3]
            made.write_policies(text)
            assert session.post(f"{daemon.address}/api/v0/reload", timeout=30).status_code == status

        def held() -> tuple[int, int, int]:
            process = Path(f"/proc/{daemon.process.pid}")
            status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
            return len(os.listdir(process / "fd")), int(status["Threads"]), int(status["VmRSS"].split()[0])

        for number in range(30):
            reload(number)
        time.sleep(0.5)  # the first scan of the storage root has ended by now
        descriptors, threads, memory = held()
        for number in range(200):
            reload(number)
        now = held()
        assert now[0] <= descriptors + 2, "of a connection to the database, or of the session"
        assert now[1] <= threads + 2
        assert now[2] <= memory + MOST_GROWTH_KB
