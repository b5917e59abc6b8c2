"""What Prometheus reads. Labels are bounded: triggers, outcomes and the names of loaded policies."""

from __future__ import annotations

from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from daemon import __version__

# From a few files on an idle disk to a directory of millions on a busy one.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


class Metrics:
    """One registry per running daemon, so that tests and reloads never share counters."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # _created series only double their number
        registry = self.registry = CollectorRegistry()
        self._deletions = Counter(
            "sweepd_deletions",
            "Deletions asked for, by trigger and outcome.",
            ["trigger", "outcome"],
            registry=registry,
        )
        self._files = Counter("sweepd_deleted_files", "Files removed for good.", ["trigger"], registry=registry)
        self._bytes = Counter(
            "sweepd_freed_bytes", "Allocated bytes given back to the file system.", ["trigger"], registry=registry
        )
        self._duration = Histogram(
            "sweepd_deletion_duration_seconds",
            "Time from the request to the last unlink of one deletion.",
            ["trigger"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._sweeps = Counter(
            "sweepd_sweeps", "Sweeps, by policy and outcome.", ["policy", "outcome"], registry=registry
        )
        self._sweep_duration = Histogram(
            "sweepd_sweep_duration_seconds", "Time of one sweep.", ["policy"], buckets=_SECONDS, registry=registry
        )
        self._selected = Gauge(
            "sweepd_policy_selected_tasks", "Tasks selected by the policy's last plan.", ["policy"], registry=registry
        )
        self._last_run = Gauge(
            "sweepd_policy_last_run_timestamp_seconds", "When the policy last ran.", ["policy"], registry=registry
        )
        self._last_success = Gauge(
            "sweepd_policy_last_success_timestamp_seconds",
            "When the policy last succeeded.",
            ["policy"],
            registry=registry,
        )
        self._blocked = Counter(
            "sweepd_sweeps_blocked",
            "Sweeps that a limit stopped or cut short, by limit.",
            ["policy", "limit"],
            registry=registry,
        )
        self._suspended = Gauge(
            "sweepd_policy_suspended", "1 if the policy has suspended itself, else 0.", ["policy"], registry=registry
        )
        self._quota = {
            name: Gauge(f"sweepd_quota_{name}", text, ["policy"], registry=registry)
            for name, text in (
                ("used", "What a quota policy's last sweep left in use, in bytes or inodes."),
                ("high", "Where a quota policy begins to delete, in bytes or inodes."),
                ("low", "Where a quota policy ends, in bytes or inodes."),
            )
        }
        self._ready = Gauge("sweepd_ready", "1 if the daemon does its work, 0 if not.", registry=registry)
        self._rolled_back = Gauge(
            "sweepd_catalog_rolled_back",
            "1 if the database has forgotten what the storage root has seen, and nothing is deleted; else 0.",
            registry=registry,
        )
        self._recovered = Counter(
            "sweepd_recovered_entries", "Trash entries settled by recovery, by result.", ["result"], registry=registry
        )
        self._trash_blocked = Gauge(
            "sweepd_trash_blocked_entries", "Trash entries that could not be settled yet.", registry=registry
        )
        self._trash_entries = Gauge(
            "sweepd_trash_deletions", "Deletions that wait in the trash and can be restored.", registry=registry
        )
        self._trash_bytes = Gauge(
            "sweepd_trash_bytes", "Allocated bytes of what waits in the trash, as far as counted.", registry=registry
        )
        self._jobs = Gauge("sweepd_jobs", "Jobs that have not ended, by state.", ["state"], registry=registry)
        self._jobs_ended = Counter("sweepd_jobs_ended", "Jobs that ended, by state.", ["state"], registry=registry)
        self._waiting = Gauge(
            "sweepd_waiting_deletions", "Groups of deletions that wait for their turn.", ["lane"], registry=registry
        )
        self._listeners = Gauge("sweepd_event_listeners", "Clients that follow the events of a job.", registry=registry)
        self._holds = Gauge("sweepd_holds", "Holds in force.", registry=registry)
        self._restores = Counter("sweepd_restores", "Restores asked for, by outcome.", ["outcome"], registry=registry)
        self._scan_at = Gauge(
            "sweepd_inventory_scan_timestamp_seconds", "When the last complete scan ended.", registry=registry
        )
        self._scan_directories = Gauge(
            "sweepd_inventory_directories", "Task directories that the last complete scan met.", registry=registry
        )
        self._scan_bytes = Gauge(
            "sweepd_inventory_bytes", "Allocated bytes of all task directories, as far as counted.", registry=registry
        )
        self._orphans = Gauge(
            "sweepd_inventory_orphans", "Directories without a row, by the last complete scan.", registry=registry
        )
        self._missing = Gauge(
            "sweepd_inventory_missing", "Rows without their directory, by the last complete scan.", registry=registry
        )
        self._requests_refused = Counter(
            "sweepd_requests_refused",
            "HTTP requests refused at the door, by reason.",
            ["error_code"],
            registry=registry,
        )
        self._connections_closed = Counter(
            "sweepd_connections_closed", "Connections closed on slow clients, by reason.", ["reason"], registry=registry
        )
        Info("sweepd_build", "Version of the daemon.", registry=registry).info({"version": __version__})

    def deletion(self, trigger: str, outcome: str, seconds: float) -> None:
        """One deletion came to its end; ``seconds`` it took."""
        self._deletions.labels(trigger, outcome).inc()
        self._duration.labels(trigger).observe(seconds)

    def purged(self, trigger: str, files: int, freed_bytes: int) -> None:
        """A directory is gone for good; called once per deletion, whoever finished it."""
        self._files.labels(trigger).inc(files)
        self._bytes.labels(trigger).inc(freed_bytes)

    def sweep(
        self, policy: str, outcome: str, seconds: float, selected: int, ended: datetime, *, success: bool
    ) -> None:
        """One sweep came to its end."""
        self._sweeps.labels(policy, outcome).inc()
        self._sweep_duration.labels(policy).observe(seconds)
        self._selected.labels(policy).set(selected)
        self.policy_memory(policy, ended, ended if success else None)

    def sweep_refused(self, policy: str) -> None:
        """A sweep was refused before it began."""
        self._sweeps.labels(policy, "refused").inc()

    def sweep_blocked(self, policy: str, limit: str) -> None:
        """A sweep stopped at this limit."""
        self._blocked.labels(policy, limit).inc()

    def policy_suspended(self, policy: str, suspended: bool) -> None:
        """Whether the policy has suspended itself."""
        self._suspended.labels(policy).set(1 if suspended else 0)

    def quota(self, policy: str, used: int, high: int, low: int) -> None:
        """How full it is, in bytes or inodes; of several users or databases, the fullest."""
        for name, value in (("used", used), ("high", high), ("low", low)):
            self._quota[name].labels(policy).set(value)

    def policy_memory(self, policy: str, last_run: datetime | None, last_success: datetime | None) -> None:
        """When the policy last ran and succeeded, as the catalog remembers it; None leaves a value as it is."""
        if last_run is not None:
            self._last_run.labels(policy).set(last_run.timestamp())
        if last_success is not None:
            self._last_success.labels(policy).set(last_success.timestamp())

    def ready(self, ready: bool) -> None:
        """Whether the daemon does its work."""
        self._ready.set(1 if ready else 0)

    def rolled_back(self, rolled_back: bool) -> None:
        """Whether the database has forgotten what the storage root has seen."""
        self._rolled_back.set(1 if rolled_back else 0)

    def recovered(self, result: str, count: int) -> None:
        """``count`` trash entries were settled with ``result``."""
        self._recovered.labels(result).inc(count)

    def trash_blocked(self, count: int) -> None:
        """How many trash entries could not be settled yet."""
        self._trash_blocked.set(count)

    def trash(self, deletions: int, size_bytes: int) -> None:
        """How much waits in the trash."""
        self._trash_entries.set(deletions)
        self._trash_bytes.set(size_bytes)

    def holds(self, number: int) -> None:
        """How many holds are in force."""
        self._holds.set(number)

    def jobs(self, queued: int, running: int) -> None:
        """How many jobs have not ended."""
        self._jobs.labels("queued").set(queued)
        self._jobs.labels("running").set(running)

    def job_ended(self, state: str) -> None:
        """One job came to its end."""
        self._jobs_ended.labels(state).inc()

    def waiting(self, lane: str, number: int) -> None:
        """How many deletions wait for their turn."""
        self._waiting.labels(lane).set(number)

    def event_listeners(self, number: int) -> None:
        """How many clients follow events."""
        self._listeners.set(number)

    def restore(self, outcome: str) -> None:
        """One restore came to its end."""
        self._restores.labels(outcome).inc()

    def inventory(self, scanned_at: datetime, directories: int, size_bytes: int, *, orphans: int, missing: int) -> None:
        """What the last complete scan found, and when it ended."""
        self._scan_at.set(scanned_at.timestamp())
        self._scan_directories.set(directories)
        self._scan_bytes.set(size_bytes)
        self._orphans.set(orphans)
        self._missing.set(missing)

    def request_refused(self, error_code: str) -> None:
        """An HTTP request got no further than the guard."""
        self._requests_refused.labels(error_code).inc()

    def connection_closed(self, reason: str) -> None:
        """A connection was closed because its client was too slow, or there were too many."""
        self._connections_closed.labels(reason).inc()

    def render(self) -> bytes:
        """The exposition text."""
        return generate_latest(self.registry)
