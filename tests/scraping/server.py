"""A Prometheus of Debian's package, for as long as it is needed."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml

RULES = Path(__file__).parents[2] / "monitoring" / "prometheus" / "rules.yaml"
_START_S = 60.0


@dataclass(frozen=True)
class Prometheus:
    """Its HTTP API."""

    address: str

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The series of an expression at this moment. Raises AssertionError if it is none."""
        return self._get("query", query=expr)["result"]  # type: ignore[no-any-return]

    def over(self, expr: str, seconds: float) -> list[dict[str, Any]]:
        """The same, second by second, until now."""
        now = time.time()
        return self._get("query_range", query=expr, start=now - seconds, end=now, step=1)["result"]  # type: ignore[no-any-return]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: object) -> Any:
        answer = requests.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=30).json()  # type: ignore[arg-type]
        assert answer["status"] == "success", f"{parameters}: {answer.get('error')}"
        return answer["data"]


def found() -> bool:
    """Whether it is installed."""
    return shutil.which("prometheus") is not None and shutil.which("promtool") is not None


@contextlib.contextmanager
def scraping(folder: Path, target: str) -> Iterator[Prometheus]:
    """One that scrapes ``target`` (host:port) every second, and has the alert rules."""
    configuration = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "sweepd", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration), encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        "prometheus",
        f"--config.file={folder}/prometheus.yaml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process, folder / "prometheus.log")
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{address}/-/ready", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"Prometheus did not start:\n{log.read_text(encoding='utf-8')}")
