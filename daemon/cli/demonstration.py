"""The demonstration: the sample, the plan, the daemon at work, and what to try next."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from daemon import log
from daemon.app.serve import serve
from daemon.app.services import Services, build
from daemon.catalog.catalog import Catalog
from daemon.catalog.task_list import Order, TaskFilter, TaskList
from daemon.cli.planning import measure, show_orphans, show_plan
from daemon.cli.render import say
from daemon.cli.sweeping import show_report
from daemon.demo.workspace import create
from daemon.errors import StartupRefused
from daemon.policy.models import PolicySet
from daemon.sizes import format_size
from daemon.storage.sample import owned
from daemon.sweep.orphans import find_orphans
from daemon.sweep.plan import make_plan
from daemon.sweep.report import SweepReport


def show(folder: Path, port: int) -> None:
    """Run the demonstration in ``folder`` until SIGTERM or Ctrl-C. Raises SweepdError."""
    with owned(folder):
        _show(folder, port)


def _show(folder: Path, port: int) -> None:
    try:
        workspace = create(folder, port)
    except OSError as error:
        raise StartupRefused(f"cannot make the sample in {folder}: {error.strerror or error}") from error
    log.configure(workspace.config.log.level, workspace.config.log.format)
    say(f"A sample workspace is in {folder}:", style="bold")
    say(
        f"{workspace.tasks} tasks with a row and a directory, {workspace.orphans} directories without a row, "
        f"{workspace.files} files, {format_size(workspace.size_bytes)}. Its policies: {folder}/policies/demo.yaml"
    )
    with build(workspace.config) as services:
        policies = services.load_policies()
        say()
        say("1. The plan. Nothing is deleted yet.", style="bold cyan")
        for policy in policies.policies:
            plan = make_plan(services.catalog, policies, policy, max_stays=2000)
            show_plan(plan, measure(services.root, services.catalog, plan))
        show_orphans(find_orphans(services.root, services.catalog), policies)
        say()
        say("2. The daemon. Each policy is due every 5 seconds.", style="bold cyan")
        narrator = _Narrator(services, policies, folder)
        asyncio.run(serve(services, policies, on_listening=narrator.listening, on_sweep=narrator.swept))
    say("stopped; run it again whenever you like")


class _Narrator:
    """Tells the first sweep of every policy, then what to try. Called from the sweeps' threads."""

    def __init__(self, services: Services, policies: PolicySet, folder: Path) -> None:
        self._services = services
        self._waiting = {policy.name for policy in policies.policies if policy.schedule is not None}
        self._folder = folder
        self._address = ""
        self._lock = threading.Lock()

    def listening(self, address: str) -> None:
        self._address = address
        say(f"serving {address}; the first sweeps come in a moment")

    def swept(self, report: SweepReport) -> None:
        with self._lock:
            if report.policy not in self._waiting:
                return
            self._waiting.discard(report.policy)
            say()
            show_report(report)
            if not self._waiting:
                self._next_steps()

    def _next_steps(self) -> None:
        task_id = _newest_finished(self._services.catalog)
        config = f"--config {self._folder}/config.yaml"
        api = f"{self._address}/api/v0/data_pipeline/tasks"
        say()
        say(f"3. It keeps serving {self._address} until Ctrl-C. In another terminal:", style="bold cyan")
        for line in (
            f"curl '{api}?limit=3'",
            f"curl -X DELETE {api}/{task_id} -H 'Content-Type: application/json' -d '{{\"confirm\": true}}'",
            f"curl {self._address}/metrics",
            f".venv/bin/sweepd {config} plan",
            f".venv/bin/sweepd {config} tasks --status completed",
            f"edit {self._folder}/policies/demo.yaml, then: .venv/bin/sweepd {config} check",
        ):
            say(f"  {line}")


def _newest_finished(catalog: Catalog) -> str:
    with catalog.read() as session:
        wanted = TaskFilter(statuses=("completed",), directory_exists=True)
        listing = TaskList(session.tables, catalog.timeline, session.now, wanted, Order())
        page = listing.page(session.connection, limit=1, counted=False)
    return page.tasks[0].task_id if page.tasks else "TASK"
