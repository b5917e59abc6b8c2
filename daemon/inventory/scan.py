"""One scan of the storage root: every task directory is looked at, and walked where there is cause.

It writes in short transactions as it goes, so that one that is cut off loses a few seconds; the next one goes on with
what is stale. Rows of directories that have gone are removed only by a scan that met everything there was, in a
root that is proven once more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Event
from typing import Any, Final

from daemon import clock, log
from daemon.catalog import inventory, prior, scans, tasks
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.inventory import Counted, Found
from daemon.catalog.prior import Known
from daemon.catalog.scans import Drift, DriftFinder, Scan
from daemon.errors import CatalogUnavailable, ErrorCode, RootUnavailable, SweepdError
from daemon.inventory.staleness import is_another, is_stale, signature
from daemon.metrics.registry import Metrics
from daemon.storage import faults, listing
from daemon.storage.census import Measurement, ScanEnded
from daemon.storage.listing import Listed
from daemon.storage.locks import exclusive
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.storage.trash import new_deletion_id
from daemon.storage.workers import Workers

_log = log.get(__name__)
# Directories of one transaction that were measured, or found to have gone; and names looked up at once where some have
# to be measured: what is known of the last of them is not to be old by then.
_BATCH: Final = 500
# The same of directories that have not changed: they take no time.
_MANY: Final = 2000
# What was measured is written after this many seconds at the latest.
_WRITE_EVERY_S: Final = 5.0
# Directories measured by one call, and calls at the same time: the children always have the next ones.
_GROUP: Final = 64
_GROUPS: Final = 3
# Names that an event of the log has.
_SHOWN: Final = 20
_FIRST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US: Final = (datetime(9999, 12, 31, tzinfo=UTC) - _FIRST) // timedelta(microseconds=1)


@dataclass(slots=True)
class Progress:
    """How far a scan is; also what it came to. ``expected``: directories that the last one met."""

    expected: int = 0
    directories: int = 0
    measured: int = 0
    files: int = 0
    failed: int = 0
    gone: int = 0
    returned: int = 0


class _AtOnce(Executor):
    """Does what it is given before it goes on. SQLite works in this process, where threads would only take turns."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(function(*args, **kwargs))
        return done


# The tasks of which a deletion or a restore is not settled yet.
InDoubt = Callable[[Session, OpenRoot], Set[str]]
Result = tuple[Listed, Known, datetime, Measurement | OSError]


class Scanner:
    """Scans one installation, one scan at a time. Everything blocks; ``stop`` may come from another thread.

    ``recount``: after how long a directory is counted again without other cause; from the next scan on.
    """

    def __init__(
        self,
        root: StorageRoot,
        catalog: Catalog,
        workers: Workers,
        metrics: Metrics,
        *,
        recount: timedelta,
        in_doubt: InDoubt,
    ) -> None:
        self._root = root
        self._catalog = catalog
        self._workers = workers
        self._metrics = metrics
        self.recount = recount
        self._in_doubt = in_doubt
        self._stop = Event()

    def stop(self) -> None:
        """End the scan under way, and begin none any more."""
        self._stop.set()
        self._workers.end_scans()

    def remember(self) -> None:
        """Set the metrics as the last complete scan left them. Raises CatalogUnavailable or CatalogNotReady."""
        with self._catalog.read() as session:
            last = scans.last_complete(session.connection)
            size = inventory.total_bytes(session.connection)
        if last is not None:
            self._show(last, size)

    def scan(self, progress: Callable[[Progress], None] | None = None) -> Scan | None:
        """Run one scan; None if it was stopped. ``progress`` is told after every transaction, in this thread.

        Raises RootUnavailable, CatalogUnavailable, CatalogNotReady, or SweepdError (SCAN_RUNNING).
        """
        started = clock.monotonic()
        try:
            with exclusive(self._root, "scan") as free:
                if not free:
                    raise SweepdError(
                        "another process scans the storage root; wait for it", code=ErrorCode.SCAN_RUNNING
                    )
                run = _Run(self._root, self._catalog, self._workers, self.recount, self._in_doubt, self._stop, progress)
                scan = run.scan()
        except ScanEnded:
            self._metrics.inventory.ended("stopped", clock.monotonic() - started)
            _log.info("scan_stopped", seconds=round(clock.monotonic() - started, 3))
            return None
        except SweepdError as error:
            if error.code is not ErrorCode.SCAN_RUNNING:
                self._metrics.inventory.ended("failed", clock.monotonic() - started)
            raise
        except OSError as error:
            self._metrics.inventory.ended("failed", clock.monotonic() - started)
            raise RootUnavailable(f"cannot scan the storage root {self._root.path}: {error}") from error
        with self._catalog.read() as session:
            size = inventory.total_bytes(session.connection)
        self._show(scan, size)
        self._metrics.inventory.ended("complete", clock.monotonic() - started)
        _log.info(
            "scan_finished",
            scan_id=scan.scan_id,
            directories=scan.directories,
            measured=scan.measured,
            files=run.progress.files,
            failed=run.progress.failed,
            gone=run.progress.gone,
            returned=run.progress.returned,
            orphans=scan.orphans,
            missing=scan.missing,
            seconds=round(clock.monotonic() - started, 3),
        )
        before = run.last
        if (scan.orphans, scan.missing) != ((before.orphans, before.missing) if before else (0, 0)):
            write = _log.warning if scan.orphans or scan.missing else _log.info
            write("drift_found", orphans=scan.orphans, missing=scan.missing)
        return scan

    def _show(self, scan: Scan, size_bytes: int) -> None:
        assert scan.finished_at is not None  # it is complete
        self._metrics.inventory.found(
            scan.finished_at, scan.directories, size_bytes, orphans=scan.orphans or 0, missing=scan.missing or 0
        )


class _Run:
    """The state of one scan."""

    def __init__(
        self,
        root: StorageRoot,
        catalog: Catalog,
        workers: Workers,
        recount: timedelta,
        in_doubt: InDoubt,
        stop: Event,
        tell: Callable[[Progress], None] | None,
    ) -> None:
        self._root = root
        self._catalog = catalog
        self._workers = workers
        self._recount = recount
        self._in_doubt = in_doubt
        self._stop = stop
        self._tell = tell or (lambda _progress: None)
        self._started_at = clock.now()
        self._unchanged: list[str] = []
        self._found: list[tuple[Listed, Found]] = []
        self._written_at = clock.monotonic()
        self._writing: Future[int] | None = None
        self.last: Scan | None = None
        self.progress = Progress()

    def scan(self) -> Scan:
        scan = Scan(new_deletion_id(), self._started_at, None, 0, 0, None, None)
        with self._catalog.write() as session:
            self.last = scans.last_complete(session.connection)
            scans.began(session.connection, scan.scan_id, self._started_at)
            self._running = prior.running(session.connection, session.tables, self._catalog.running_statuses)
        self.progress.expected = 0 if self.last is None else self.last.directories
        with self._root.open() as opened:
            self._tell(self.progress)
            with ThreadPoolExecutor(_GROUPS + 2, thread_name_prefix="scan") as pool:
                beside = _AtOnce() if self._catalog.database.is_sqlite else pool
                try:
                    self._measure_all(opened, pool, beside)
                    self._write(opened, beside)
                    self._await_write()
                except KeyboardInterrupt:  # or the pool would wait for what it is at
                    self._workers.end_scans()
                    raise
        self._forget_gone()
        self._put_rows_right()
        with self._catalog.write() as session:
            since = self._catalog.timeline.now(session.connection, self._started_at)
            drift = DriftFinder(session.tables, self._catalog.timeline, since)
            orphans = drift.count(session.connection, Drift.ORPHANS)
            inventory.end_orphans(session.connection, session.tables)
            if orphans:
                inventory.note_orphans(session.connection, session.tables, self._started_at)
            scan = replace(
                scan,
                finished_at=clock.now(),
                directories=self.progress.directories,
                measured=self.progress.measured,
                orphans=orphans,
                missing=drift.count(session.connection, Drift.MISSING),
            )
            scans.ended(session.connection, scan)
        return scan

    def _measure_all(self, opened: OpenRoot, pool: Executor, beside: Executor) -> None:
        """``beside``: who asks and tells the database meanwhile."""
        pending: set[Future[list[Result]]] = set()
        groups = self._stale_groups(opened, beside)
        while True:
            for group in islice(groups, _GROUPS - len(pending)):
                pending.add(pool.submit(self._measure, opened, group))
            if not pending:
                return
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                self._add(future.result())
            self._write_if_due(opened, beside)

    def _stale_groups(self, opened: OpenRoot, beside: Executor) -> Iterator[list[tuple[Listed, Known]]]:
        """What has to be walked, in groups; the rest is noted as unchanged on the way.

        While the database looks up one batch of names, the next one is listed.
        """
        listed = listing.tasks(opened)
        stale: list[tuple[Listed, Known]] = []
        batch = list(islice(listed, _GROUPS * _GROUP))  # the children are to begin soon
        number = len(batch)  # of all that was listed: what has not changed is to fill whole transactions
        while batch:
            if self._stop.is_set():
                raise ScanEnded
            asked = beside.submit(self._look_up, batch)
            size = _BATCH if stale or number < _BATCH else _MANY - number % _MANY
            following = list(islice(listed, size))
            number += len(following)
            known, now = asked.result(), clock.now()
            for one in batch:
                if one.problem is not None:
                    self._note(one, known[one.name], now, one.problem)
                elif is_stale(one, known[one.name], now, self._recount):
                    stale.append((one, known[one.name]))
                else:
                    self._unchanged.append(one.name)
            self._write_if_due(opened, beside)
            batch = following
            while len(stale) >= _GROUP:
                yield stale[:_GROUP]
                del stale[:_GROUP]
        if stale:
            yield stale

    def _look_up(self, batch: Sequence[Listed]) -> dict[str, Known]:
        names = [one.name for one in batch]
        with self._catalog.read() as session:
            return prior.known(session.connection, session.tables, self._catalog.timeline, names, self._running)

    def _measure(self, opened: OpenRoot, group: Sequence[tuple[Listed, Known]]) -> list[Result]:
        began = clock.now()
        found = self._workers.measure(opened.fd, [listed.name for listed, _ in group])
        return [(listed, known, began, found[listed.name]) for listed, known in group]

    def _add(self, results: Sequence[Result]) -> None:
        for listed, known, began, result in results:
            if isinstance(result, FileNotFoundError):
                continue
            if isinstance(result, OSError):
                fault = faults.explain(result, listed.name, "counting its files")
                if isinstance(fault, RootUnavailable):
                    raise fault from result
                self._note(listed, known, began, str(fault))
                continue
            self.progress.measured += 1
            self.progress.files += result.census.files
            self._note(listed, known, began, None, _counted(result))

    def _note(
        self, listed: Listed, known: Known, at: datetime, error: str | None, counted: Counted | None = None
    ) -> None:
        self.progress.failed += error is not None
        another = is_another(listed, known)
        found = Found(listed.name, known.is_new, another, signature(listed, known), at, counted, error)
        self._found.append((listed, found))

    def _write_if_due(self, opened: OpenRoot, beside: Executor) -> None:
        if self._writing is not None and self._writing.done():
            self._await_write()
        many = len(self._unchanged) >= _MANY or len(self._found) >= _BATCH
        if many or clock.monotonic() - self._written_at >= _WRITE_EVERY_S:
            self._write(opened, beside)

    def _write(self, opened: OpenRoot, beside: Executor) -> None:
        """Begin to write what there is, once what was before is written: the next ones are listed meanwhile."""
        self._await_write()
        unchanged, self._unchanged = self._unchanged, []
        found, self._found = self._found, []
        self._writing = beside.submit(self._record, opened, unchanged, found)
        self._written_at = clock.monotonic()

    def _await_write(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            self.progress.directories += writing.result()
            self._tell(self.progress)

    def _record(self, opened: OpenRoot, unchanged: Sequence[str], measured: Sequence[tuple[Listed, Found]]) -> int:
        """How many directories were written down."""
        # A deletion may have taken it away, or somebody have put another one in its place, since it was listed.
        found = [one for listed, one in measured if listing.is_there(opened, listed)]
        for start in range(0, max(len(unchanged), len(found)), _MANY):
            end = start + _MANY
            with self._catalog.write() as session:
                inventory.record(session.connection, self._started_at, unchanged[start:end], found[start:end])
        return len(unchanged) + len(found)

    def _forget_gone(self) -> None:
        """Everything was met: what has a row and was not met is looked for once more, and forgotten if it is gone."""
        after = ""
        while True:
            with self._catalog.read() as session:
                names = inventory.not_seen_since(session.connection, self._started_at, after, _BATCH)
            if not names:
                return
            after = names[-1]
            with self._root.open() as opened:
                gone = [name for name in names if listing.is_absent(opened, name)]
            with self._catalog.write() as session:
                inventory.forget_unseen(session.connection, self._started_at, gone)
            self.progress.gone += len(gone)

    def _put_rows_right(self) -> None:
        """What is on the disk decides: rows whose directory was made anew say again that they have one.

        Under its lock, so that no deletion or restore is under way; a row that somebody else has locked waits for the
        next scan.
        """
        after = ""
        while True:
            with self._catalog.read() as session:
                names = inventory.returned(session.connection, session.tables, after, _BATCH)
            if not names:
                return
            after = names[-1]
            try:
                with self._root.open() as opened, self._catalog.write() as session:
                    back = self._back(opened, session, names)
                    changed = tasks.mark_directory_there(session.connection, session.tables, back, session.now.local)
            except SweepdError as error:
                if isinstance(error, RootUnavailable | CatalogUnavailable):
                    raise
                _log.warning("rows_not_put_right", task_ids=names[:_SHOWN], error=error.code, reason=str(error))
                continue
            self.progress.returned += changed
            if changed < len(back):
                reason = "the database keeps a row as it is: look at its triggers, rules and policies"
                _log.warning("rows_not_put_right", task_ids=back[:_SHOWN], error=None, reason=reason)
            if changed:
                _log.warning("directories_returned", number=changed, task_ids=back[:_SHOWN])

    def _back(self, opened: OpenRoot, session: Session, names: Sequence[str]) -> list[str]:
        connection, tables = session.connection, session.tables
        locked = tasks.lock(connection, tables, names, self._catalog.running_statuses, wait=False)
        gone = [name for name, found in sorted(locked.items()) if not found.row.directory_exists]
        doubtful = self._in_doubt(session, opened) if gone else set()
        return [name for name in gone if name not in doubtful and opened.is_back(name)]


def _counted(measurement: Measurement) -> Counted:
    census = measurement.census
    return Counted(
        census.files,
        census.directories,
        census.size_bytes,
        census.freed_bytes,
        _FIRST + timedelta(microseconds=min(measurement.modified_ns // 1000, _LAST_US)),
    )
