"""A sweep that ends at a mark: how full something is, which tasks bring it down, and not one more than needed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from daemon import clock, log
from daemon.catalog import usage
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.holds import Hold
from daemon.catalog.ledger import Record
from daemon.catalog.populations import Measured
from daemon.deletion.engine import GROUP
from daemon.deletion.retention import Retention
from daemon.errors import CatalogNotReady, CatalogUnavailable, RootUnavailable
from daemon.policy.models import Mode, PolicySet, Quota
from daemon.storage import faults, space
from daemon.storage.census import NOTHING, Census
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.sweep import guards, shortfall
from daemon.sweep.limits import Breach
from daemon.sweep.plan import Decision
from daemon.sweep.report import Progress, QuotaResult, SweepOutcome, SweepReport
from daemon.sweep.runner import Runner

_log = log.get(__name__)

# Some file systems give space back a moment after the last unlink; to go on at once would delete too much.
_SETTLE_S: Final = 5.0
_SETTLE_STEP_S: Final = 0.05
# The block that a directory takes is not in its census; a batch must not go past the mark for that.
_DIRECTORY_BYTES: Final = 4096

Exceeded = Callable[[Sequence[int | None]], list[Breach]]
"""Which limits the deletion of tasks of these sizes would exceed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How full it is, in bytes or inodes; ``group`` is a user or database, None for all.

    ``purgeable``: what waits in the trash and is not held; ``total``: what the file system has.
    """

    group: str | None
    used: int
    purgeable: int
    high: int
    low: int
    total: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sweep would do now. ``readings``: all that are at their high mark or above; if none is, the fullest.

    ``chosen``: which tasks it would delete, if the trash gives what it holds; ``held_back``: why it would not.
    """

    readings: tuple[Reading, ...]
    chosen: tuple[Decision, ...]
    held_back: tuple[Breach, ...]


class QuotaSweep:
    """One sweep of a policy with a quota."""

    def __init__(
        self,
        root: StorageRoot,
        catalog: Catalog,
        retention: Retention,
        report: SweepReport,
        policies: PolicySet,
        runner: Runner,
        exceeded: Exceeded,
    ) -> None:
        quota = report.plan.policy.quota
        assert quota is not None
        self._quota: Quota = quota
        self._root = root
        self._catalog = catalog
        self._retention = retention
        self._report = report
        self._policies = policies
        self._runner = runner
        self._exceeded = exceeded
        self._walked: dict[str, Census] = {}
        self._tried: list[int | None] = []
        self._cut = False

    def run(self, progress: Progress) -> None:
        """Bring everything that is at its high mark or above down to its low one. Raises as the root and catalog do."""
        report = self._report
        enforce = report.plan.policy.mode is Mode.ENFORCE
        first, full = self._look()
        if not full:
            report.quota += [_result(reading, reading, 0, None) for reading in first]
        unbelieved = self._unbelieved() if full and enforce else []
        purges = enforce and not unbelieved
        purged = {reading: self._purge_trash(reading) if purges else _without_trash(reading) for reading in full}
        report.chosen = self._choose(purged.values())
        report.hold_to(unbelieved or self._beyond(report.chosen))
        if not enforce and report.outcome is SweepOutcome.SUCCESS:
            report.outcome = SweepOutcome.OBSERVED
        progress(report)
        if report.outcome is SweepOutcome.SUCCESS:  # what the directories hold now decides, not what was expected
            report.truncated_to, report.limits = None, []
        for before, now in purged.items():
            after = now
            try:
                if report.outcome is SweepOutcome.SUCCESS and not self._runner.ended and not self._cut:
                    after = self._bring_down(now)
                self._end(before, *((now, after) if purges else (before, before)))
            except (RootUnavailable, CatalogUnavailable, CatalogNotReady) as error:  # what was deleted stays reported
                report.error, report.lost = str(error), True
        if self._runner.ended:
            report.not_attempted = max(0, len(report.chosen) - report.attempted)

    def forecast(self) -> Forecast:
        """Return what ``run`` would do now. Raises as it does."""
        first, full = self._look()
        chosen = self._choose(map(_without_trash, full))
        held_back = (self._unbelieved() if full else []) or self._beyond(chosen)
        return Forecast(tuple(full or first), chosen, tuple(held_back))

    def readings(self) -> list[Reading]:
        """Return those at their high mark or above; if none is, the fullest. Raises as ``run`` does."""
        first, full = self._look()
        return full or first

    def _look(self) -> tuple[list[Reading], list[Reading]]:
        """The fullest one, if there is any, and all that are at the high mark or above."""
        found = sorted(self._read(), key=lambda reading: reading.used, reverse=True)
        return found[:1], [reading for reading in found if reading.used >= reading.high]

    def _choose(self, readings: Iterable[Reading]) -> tuple[Decision, ...]:
        return tuple(decision for reading in readings for decision in self._prefix(reading))

    def _beyond(self, chosen: Sequence[Decision]) -> list[Breach]:
        return self._exceeded([self._size(decision) for decision in chosen])

    def _unbelieved(self) -> list[Breach]:
        """Why what is summed up from scans is no ground to delete on."""
        if self._quota.of == "filesystem":
            return []
        with self._catalog.read() as session:
            return guards.scan_breaches(session)

    def _bring_down(self, reading: Reading) -> Reading:
        """Delete in batches that reach the mark with their last task at most, and look again after each."""
        pending = deque(self._candidates(reading))
        chosen = {decision.task.task_id for decision in self._report.chosen}
        while reading.used > reading.low and pending and not self._runner.ended and not self._cut:
            need = reading.used - reading.low
            batch = self._hold(self._batch(pending, need))
            if not batch:
                break
            done = len(self._report.deleted)
            self._report.chosen += tuple(decision for decision in batch if decision.task.task_id not in chosen)
            self._runner.delete(batch)
            self._tried += [self._size(decision) for decision in batch]
            freed = sum(
                self._amount(outcome.counts) for outcome in self._report.deleted[done:] if outcome.directory_deleted
            )
            reading = self._settled(reading, freed)
        return reading

    def _batch(self, pending: deque[Decision], need: int) -> list[Decision]:
        """The next tasks, of which only the last can reach the mark."""
        batch: list[Decision] = []
        expected = 0
        with self._root.open() as root:
            while pending and len(batch) < GROUP and expected < need:
                batch.append(pending.popleft())
                expected += self._most(self._walk(root, batch[-1]), batch[-1].measured)
        return batch

    def _hold(self, batch: list[Decision]) -> list[Decision]:
        """The first of these, as far as the limits let them through; if not all of them, the sweep ends with them."""
        found = self._exceeded([*self._tried, *(self._size(decision) for decision in batch)])
        if not found:
            return batch
        self._cut = True
        self._report.limits = [breach.limit for breach in found]
        allowed = batch[: max(0, min(breach.most for breach in found) - len(self._tried))]
        self._report.truncated_to = len(self._tried) + len(allowed)
        return allowed

    def _prefix(self, reading: Reading) -> list[Decision]:
        """The fewest tasks, the first ones in the policy's order, that are expected to reach the mark."""
        chosen: list[Decision] = []
        need = reading.used - reading.low
        with self._root.open() as root:
            for decision in self._candidates(reading):
                if need <= 0 or (chosen and self._runner.ended):
                    break
                chosen.append(decision)
                scanned = self._scanned(decision.measured)
                need -= self._amount(self._walk(root, decision)) if scanned is None else scanned
        return chosen

    def _candidates(self, reading: Reading) -> Iterator[Decision]:
        """What may go for this; what is summed up from scans goes down only by what they have counted."""
        column = {"user": "by_user", "database": "db_name"}.get(self._quota.of)
        for decision in self._runner.known_last(self._report.plan.goes):
            if self._quota.of != "filesystem" and self._scanned(decision.measured) is None:
                continue
            if column is None or getattr(decision.task, column) == reading.group:
                yield decision

    def _walk(self, root: OpenRoot, decision: Decision) -> Census:
        """The directory as it is now; nothing if it is not there, or cannot be counted, as deleting it will tell."""
        task_id = decision.task.task_id
        if task_id not in self._walked:
            try:
                self._walked[task_id] = root.measure(task_id) or NOTHING
            except OSError as error:
                fault = faults.explain(error, task_id, "counting its files")
                self._root.note(fault)
                if isinstance(fault, RootUnavailable):
                    raise fault from error
                self._walked[task_id] = NOTHING
        return self._walked[task_id]

    def _size(self, decision: Decision) -> int | None:
        """Apparent bytes, as the limits count them."""
        walked = self._walked.get(decision.task.task_id)
        if walked is not None:
            return walked.size_bytes
        return decision.measured.size_bytes if decision.measured else None

    def _scanned(self, measured: Measured | None) -> int | None:
        """What the last scan counted."""
        return None if measured is None else measured.takes(inodes=self._quota.measure == "inodes")

    def _most(self, walked: Census, measured: Measured | None) -> int:
        """What the deletion of a directory can bring at most."""
        amount = self._amount(walked)
        if self._quota.measure == "bytes":
            amount += walked.directories * _DIRECTORY_BYTES
        return max(amount, self._scanned(measured) or 0)

    def _amount(self, census: Census) -> int:
        return census.freed_bytes if self._quota.measure == "bytes" else census.files + census.directories

    def _purge_trash(self, reading: Reading) -> Reading:
        """What waits goes first, the oldest of it; nothing that waits is worth more than what nobody has given up."""
        now = reading

        def too_much() -> bool:
            nonlocal now
            now = self._again(now)
            return now.used > now.low and not self._runner.ended

        def find(session: Session, spared: Sequence[Hold], last: Record | None) -> Record | None:
            return usage.oldest_waiting(
                session.connection, session.tables, self._quota.of, reading.group, spared=spared, after=last
            )

        self._retention.purge_oldest(too_much, find)
        return now

    def _settled(self, before: Reading, freed: int) -> Reading:
        """How full it is after ``freed`` was deleted; waits for a file system that is late, if that would be enough."""
        end = clock.monotonic() + _SETTLE_S
        while True:
            now = self._again(before)
            enough = self._quota.of == "filesystem" and before.used - freed <= before.low
            if now.used <= now.low or not enough or clock.monotonic() >= end or self._runner.ended:
                return now
            time.sleep(_SETTLE_STEP_S)

    def _again(self, reading: Reading) -> Reading:
        for now in self._read():
            if now.group == reading.group:
                return now
        return replace(reading, used=0, purgeable=0)

    def _read(self) -> Iterator[Reading]:
        quota, inodes = self._quota, self._quota.measure == "inodes"
        with self._root.open() as root:
            disk = space.look(root.fd)
        total = disk.inodes if inodes else disk.usable_bytes
        high, low = quota.high.of(total), quota.low.of(total)
        with self._catalog.read() as session:
            holds = self._catalog.holds(session)
            if quota.of in ("user", "database"):
                groups = usage.by_group(session.connection, session.tables, holds, quota.of, inodes=inodes)
                for group, used in groups.items():
                    yield Reading(group, used.total, used.purgeable, high, low, total)
                return
            found = usage.of_root(session.connection, holds, inodes=inodes)
        on_disk = disk.used_inodes if inodes else disk.used_bytes
        used_now = on_disk if quota.of == "filesystem" else found.total
        yield Reading(None, used_now, found.purgeable, high, low, total)

    def _end(self, before: Reading, purged: Reading, after: Reading) -> None:
        report = self._report
        why = None
        if after.used > after.low and report.outcome is SweepOutcome.SUCCESS and not self._runner.ended:
            why = shortfall.explain(
                self._catalog, self._policies, report, self._quota, after.group, after.used, after.low
            )
            report.error = why if report.error is None else f"{report.error}; {why}"
        report.quota.append(_result(before, after, before.used - purged.used, why))
        _log.info(
            "quota_applied",
            policy=report.policy,
            of=self._quota.of,
            group=before.group,
            measure=self._quota.measure,
            used_before=before.used,
            used=after.used,
            high=after.high,
            low=after.low,
            purged=before.used - purged.used,
            reason=why,
        )


def _result(before: Reading, after: Reading, purged: int, why: str | None) -> QuotaResult:
    return QuotaResult(before.group, before.used, after.used, after.high, after.low, purged, why)


def _without_trash(reading: Reading) -> Reading:
    """As it would be after the trash was purged, for a policy that only observes."""
    return replace(reading, used=max(reading.low, reading.used - reading.purgeable))
