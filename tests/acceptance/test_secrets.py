"""Recognizable secrets are planted wherever there is a place for one, everything is exercised, and none comes out."""

from __future__ import annotations

import contextlib
import signal
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import requests

from daemon.tokens import hash_of
from support.daemons import TASKS, Daemon, Installation
from support.receiver import receiving
from support.stores import Store
from support.trees import fill

PASSWORD: Final = "canary-password-of-the-database"
TOKEN: Final = "canary-token-in-the-configuration"
KEPT_TOKEN: Final = "sweepd_canary-token-of-the-file"
WRONG_TOKEN: Final = "canary-token-that-nobody-knows"
HOOK: Final = "canary-path-of-the-webhook"
KEY: Final = "whsec_Y2FuYXJ5LWtleS1vZi10aGUtd2ViaG9vay1hYmM="
PARAMETERS: Final = "canary-in-the-parameters"
HEADER: Final = "canary-in-a-header"
COOKIE: Final = "canary-in-a-cookie"
BROKEN: Final = "canary-in-a-broken-configuration"
SECRETS: Final = (PASSWORD, TOKEN, KEPT_TOKEN, WRONG_TOKEN, HOOK, KEY, PARAMETERS, HEADER, COOKIE, BROKEN)
POLICY: Final = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {every: 5h}
    match: {status: failed}
    notify: {before: 48h}
    action: {trash: {retain: 7d, delete: directory_and_records}}
"""


def configure(site: Installation, url: str, hook: str, extra: str = "") -> None:
    tokens = site.folder / "tokens.yaml"
    hashed = hash_of(KEPT_TOKEN.encode())
    tokens.write_text(f"version: 1\ntokens: [{{name: kept, hash: '{hashed}', scopes: [read]}}]\n", encoding="utf-8")
    site.config.write_text(
        f"catalog: {{url: '{url}'}}\n"
        f"server: {{port: 0, tokens: ['{TOKEN}'], tokens_file: '{tokens}'{extra}}}\n"
        "log: {format: json, level: debug}\n"
        f"notifications: {{webhooks: [{{name: ops, url: '{hook}/{HOOK}', secret: {KEY}}}], window: 1s}}\n"
        "audit: {file: audit.jsonl}\n",
        encoding="utf-8",
    )


class Visitor:
    """Asks for everything, rightly and wrongly, and keeps what it was told."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.heard: list[str] = []

    def ask(self, method: str, path: str, *, token: str = TOKEN, **options: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}", "X-Secret": HEADER, "Cookie": f"session={COOKIE}"}
        answer = requests.request(method, self._daemon.address + path, headers=headers, timeout=60, **options)
        self.heard.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    def babble(self, data: bytes) -> None:
        """What is hardly HTTP."""
        address = urlsplit(self._daemon.address)
        with contextlib.suppress(OSError), socket.create_connection((address.hostname, address.port), 10) as connection:
            connection.sendall(data)
            connection.settimeout(10)
            self.heard.append(connection.recv(65536).decode(errors="replace"))


def test_no_secret_comes_out_anywhere(postgres_installation: Installation, tmp_path: Path) -> None:
    site, store = postgres_installation, Store(postgres_installation.url)
    parts = urlsplit(site.url)
    user, _, host = parts.netloc.rpartition("@")
    with_password = urlunsplit(parts._replace(netloc=f"{user.partition(':')[0] or 'postgres'}:{PASSWORD}@{host}"))
    site.write_policies(POLICY)
    for name in ("task_1", "task_2", "task_3"):
        store.add_task(name, status="failed", parameters=f'{{"password": "{PARAMETERS}"}}')
        store.add_step(name)
        fill(site.root / name, 2)
    said: list[str] = []

    def run(*arguments: str) -> None:
        done = site.run(*arguments, check=False)
        said.extend((done.stdout, done.stderr))

    with receiving() as receiver:
        configure(site, with_password, receiver.url)
        receiver.answer = 500
        with site.daemon() as daemon:
            visitor = Visitor(daemon)
            receiver.wait(lambda: receiver.deliveries)
            for path in (
                "/readyz",
                "/metrics",
                "/api/v0/policies",
                "/api/v0/policies/old/plan",
                "/api/v0/refusals",
                TASKS,
            ):
                visitor.ask("GET", path)
                visitor.ask("GET", path, token=KEPT_TOKEN)
                visitor.ask("GET", path, token=WRONG_TOKEN)
            assert visitor.ask("GET", f"{TASKS}/task_1").status_code == 200
            assert visitor.ask("DELETE", f"{TASKS}/task_1", json={"confirm": True}, token=KEPT_TOKEN).status_code == 403
            visitor.ask("DELETE", f"{TASKS}/task_1", json={"confirm": HEADER})
            everything = {"confirm": True, "retain": "7d", "delete_database_records": True}
            assert visitor.ask("DELETE", f"{TASKS}/task_1", json=everything).status_code == 200
            assert visitor.ask("POST", f"{TASKS}/task_1/restore").status_code == 200
            visitor.ask("GET", "/api/v0/deletions")
            visitor.babble(
                f"GET / HTTP/1.1\r\nAuthorization: Bearer {WRONG_TOKEN}\r\nBad Header {HEADER}\r\n\r\n".encode()
            )
            visitor.babble(f"\x16\x03{COOKIE}\r\n\r\n".encode())
            run("sweep", "old")
            for command in ("check", "plan", "tasks", "trash", "deletions", "sweeps", "doctor"):
                run(command)
            run("notify", "test")
            run("explain", "task_1")
            configure(site, with_password, receiver.url, extra=f", max_batch: {BROKEN}")
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for_event("reload_failed")
            run("check")
            configure(site, f"mysql://u:{BROKEN}@h/d", receiver.url)
            daemon.process.send_signal(signal.SIGHUP)
            run("check")
            dead = urlunsplit(parts._replace(netloc=f"postgres:{PASSWORD}@127.0.0.1:9", query=""))
            configure(site, dead, f"http://127.0.0.1:9/{HOOK}")
            for command in ("plan", "init", "doctor"):
                run(command)
            run("notify", "test")
            visitor.ask("GET", "/metrics")
            daemon.terminate()
            said += visitor.heard
            log = Path(daemon._log).read_text(encoding="utf-8")
    assert "notification_failed" in log
    assert "request_malformed" in log
    for secret in SECRETS:
        for form in {secret, quote(secret, safe="")}:
            assert form not in log, f"{form} is in the log"
            assert [text for text in said if form in text] == [], f"{form} was said"
            assert [one for one in receiver.deliveries if form in one.body.decode()] == [], f"{form} was sent"
            assert _kept(store, form) == [], f"{form} is in a table"
            assert _written(site.root / ".sweepd", form) == [], f"{form} is in a file"
            assert form not in (site.folder / "audit.jsonl").read_text(), f"{form} is in the audit file"


def _kept(store: Store, secret: str) -> list[str]:
    """The tables of ours that hold it; copies of the rows that can be restored are what they were."""
    names = store.query(
        "SELECT tablename FROM pg_tables WHERE tablename LIKE 'sweepd_%%' AND tablename <> 'sweepd_snapshots'"
    )
    found = [row["tablename"] for row in names]
    assert len(found) > 10
    return [name for name in found if any(secret in str(row) for row in store.query(f"SELECT * FROM {name}"))]


def _written(folder: Path, secret: str) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if secret.encode() in path.read_bytes()]
