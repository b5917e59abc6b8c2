"""Webhooks and a real daemon, killed while it tells."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from support.daemons import Installation
from support.receiver import SECRET, Receiver, receiving
from support.stores import Store
from support.trees import fill

POLICY = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {every: 5h}
    match: {older_than: 30d}
    notify: {before: 48h}
    action: {delete: directory}
  - name: limited
    mode: enforce
    match: {status: completed}
    limits: {max_tasks: 1}
    action: {delete: directory}
"""
CANARY = "T0canary0B1"


def tell(installation: Installation, receiver: Receiver, *, window: str = "1s") -> None:
    text = installation.config.read_text(encoding="utf-8").partition("notifications:")[0]
    hook = {"name": "ops", "url": f"{receiver.url}/{CANARY}", "secret": SECRET, "events": ["limits", "announcements"]}
    section = json.dumps({"webhooks": [hook], "window": window})
    installation.config.write_text(f"{text}notifications: {section}\n", encoding="utf-8")


def test_each_task_is_announced_once_though_the_daemon_is_killed_while_it_tells(
    installation: Installation, store: Store
) -> None:
    installation.write_policies(POLICY)
    names = [f"task_{number:02}" for number in range(12)]
    for name in names[:6]:
        store.add_task(name, status="completed", completed_at="2020-01-01 00:00:00")
        fill(installation.root / name, 2)
    with receiving() as receiver:
        tell(installation, receiver)
        receiver.answer = 500
        for _ in range(
            2
        ):  # once before anything was taken, once after it was announced to somebody who did not take it
            with installation.daemon() as daemon:
                receiver.wait(lambda: receiver.announced())
                daemon.kill()
        receiver.answer = 200
        for name in names[6:]:
            store.add_task(name, status="completed", completed_at="2020-01-01 00:00:00")
        with installation.daemon() as daemon:
            receiver.wait(lambda: len(receiver.announced()) == len(names), "announced")
            daemon.wait_for_event("notification_sent")
            done = installation.run("sweep", "limited", check=False)  # by another process
            assert done.returncode == 7
            receiver.wait(lambda: receiver.items("sweep.blocked"), "blocked")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for_event("reloaded")
            metrics = daemon.get("/metrics").text
            daemon.kill()
        with installation.daemon() as daemon:
            store.add_task("task_99", status="completed", completed_at="2020-01-01 00:00:00")
            installation.write_policies(POLICY.replace("48h", "47h"))  # a changed policy looks at once
            daemon.process.send_signal(signal.SIGHUP)
            receiver.wait(lambda: "task_99" in receiver.announced(), "the last one")
            log = Path(daemon._log).read_text(encoding="utf-8")
    assert sorted(receiver.announced()) == [*names, "task_99"]
    assert all(one.genuine for one in receiver.deliveries)
    assert len(receiver.items("sweep.blocked")) == 1
    assert 'sweepd_notifications_failed_total{webhook="ops"}' in metrics
    assert CANARY not in log + metrics
    assert SECRET not in log + metrics


def test_a_test_message_says_whether_it_works(tmp_path: Path) -> None:
    installation = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/none.sqlite3")  # it is not asked
    assert installation.run("notify", "test", check=False).returncode == 2
    with receiving() as receiver:
        tell(installation, receiver)
        done = installation.run("notify", "test")
        assert done.stdout.startswith(f"ops: {receiver.url.removesuffix('/hook')} took msg_")
        receiver.answer = 404
        done = installation.run("notify", "test", "ops", "--json", check=False)
        assert done.returncode == 1
        (shown,) = json.loads(done.stdout)["webhooks"]
        assert shown["error"].endswith(" answered 404")
        assert CANARY not in done.stdout + done.stderr
        assert installation.run("notify", "test", "other", check=False).returncode == 2
    assert [one.document["type"] for one in receiver.deliveries] == ["sweepd.test"] * 2
