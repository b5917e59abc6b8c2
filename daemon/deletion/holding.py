"""Placing and releasing holds. What they are good for is decided where tasks are claimed and trash is purged."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from daemon import log
from daemon.catalog import holds
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.holds import Covered, Hold
from daemon.deletion.hold_terms import Terms
from daemon.errors import ErrorCode, SweepdError, TaskRefused
from daemon.metrics.registry import Metrics
from daemon.moments import for_machines
from daemon.storage.trash import new_deletion_id

_log = log.get(__name__)


@dataclass(frozen=True, slots=True)
class Placed:
    """A hold that is in force from now on, and what it is about at this moment."""

    hold: Hold
    covered: Covered

    def to_json(self) -> dict[str, object]:
        """As API and command line show it."""
        covered = self.covered
        counts = {"tasks": covered.tasks, "directories_gone": covered.gone, "in_trash": covered.in_trash}
        return {**hold_json(self.hold, in_force=True), **counts}


class Holds:
    """The holds of one catalog. Blocking, and safe beside everything else."""

    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics

    def place(self, terms: Terms, initiator: str) -> Placed:
        """Place a hold. It waits for deletions that are being claimed, so what it says of its tasks is final.

        Raises SweepdError: INVALID_HOLD if it would have ended by the catalog's clock, TASK_BUSY if the claims under
        way do not end in time. When the connection is lost at the end it may be in force all the same.
        """
        with self._catalog.write(reads_tasks=True) as session:
            holds.await_claims(session.connection)
            hold = self._made(session, terms)
            holds.place(session.connection, hold)
            covered = holds.covered(session.connection, session.tables, hold)
        _log.info(
            "hold_placed",
            hold_id=hold.hold_id,
            pattern=hold.pattern,
            owner=hold.owner,
            reason=hold.reason,
            until=_stamp(hold.expires_at),
            initiator=initiator,
            tasks=covered.tasks,
        )
        self.report()
        return Placed(hold, covered)

    def listed(self, *, everything: bool = False) -> tuple[list[Hold], datetime]:
        """The holds in force, or every one there ever was, the oldest first; and when that was."""
        with self._catalog.read() as session:
            found = holds.journal(session.connection) if everything else self._catalog.holds(session)
            return found, session.now.utc

    def release(self, hold_id: str, initiator: str) -> Hold:
        """End one hold. Raises TaskRefused (HOLD_NOT_FOUND) if there is none, or it has been released before."""
        with self._catalog.write() as session:
            hold = holds.find(session.connection, hold_id)
            if hold is None:
                raise _not_found(f"there is no hold {hold_id}; sweepd holds lists those in force")
            if not holds.release(session.connection, [hold_id], session.now.utc, initiator):
                by, at = hold.released_by, hold.released_at
                when = f" at {for_machines(at)} by {by}" if at else ""
                raise _not_found(f"the hold {hold_id} on {hold.pattern} has been released already{when}")
            released = holds.find(session.connection, hold_id)
            assert released is not None  # rows stay
        self._released([released], initiator)
        return released

    def release_pattern(self, pattern: str, initiator: str) -> list[Hold]:
        """End every hold in force that was placed on exactly this pattern. Raises TaskRefused (HOLD_NOT_FOUND)."""
        with self._catalog.write() as session:
            found = self._catalog.holds(session)
            same = [hold for hold in found if hold.pattern == pattern]
            if not same:
                wider = holds.holding(found, pattern)
                hint = f"; it is held by {wider.hold_id} on {wider.pattern}" if wider else ""
                raise _not_found(f"no hold in force was placed on {pattern}{hint}")
            ids = holds.release(session.connection, [hold.hold_id for hold in same], session.now.utc, initiator)
            after = [holds.find(session.connection, hold.hold_id) for hold in same if hold.hold_id in ids]
        released = [hold for hold in after if hold is not None]
        self._released(released, initiator)
        return released

    def report(self) -> None:
        """Tell the metrics how many are in force."""
        try:
            found, _ = self.listed()
        except SweepdError:
            return  # the catalog is watched elsewhere
        self._metrics.health.holds(len(found))

    def _made(self, session: Session, terms: Terms) -> Hold:
        now = session.now.utc
        expires_at = terms.until if terms.lasting is None else now + terms.lasting
        if expires_at is not None and expires_at <= now:
            raise TaskRefused(
                f"a hold until {for_machines(expires_at)} would be over already: "
                f"by the catalog's clock it is {for_machines(now)}",
                code=ErrorCode.INVALID_HOLD,
            )
        return Hold(new_deletion_id(), terms.pattern, terms.owner, terms.reason, now, expires_at)

    def _released(self, released: list[Hold], initiator: str) -> None:
        for hold in released:
            _log.info(
                "hold_released", hold_id=hold.hold_id, pattern=hold.pattern, owner=hold.owner, initiator=initiator
            )
        self.report()


def refused(task_id: str, hold: Hold) -> TaskRefused:
    """The task is held, and stays."""
    until = f" until {for_machines(hold.expires_at)}" if hold.expires_at else ""
    on = "" if hold.pattern == task_id else f" (with {hold.pattern})"
    return TaskRefused(
        f"{task_id} is held{on} by {hold.owner}{until}: {hold.reason}; "
        f"nothing deletes it before that is over or released: sweepd release {hold.hold_id}",
        code=ErrorCode.TASK_HELD,
        details={
            "task_id": task_id,
            "hold_id": hold.hold_id,
            "owner": hold.owner,
            "reason": hold.reason,
            "until": _stamp(hold.expires_at),
        },
    )


def hold_json(hold: Hold, *, in_force: bool) -> dict[str, object]:
    """A hold as API and command line show it; instants in UTC."""
    return {
        "hold_id": hold.hold_id,
        "pattern": hold.pattern,
        "owner": hold.owner,
        "reason": hold.reason,
        "placed_at": _stamp(hold.placed_at),
        "until": _stamp(hold.expires_at),
        "in_force": in_force,
        "released_at": _stamp(hold.released_at),
        "released_by": hold.released_by,
    }


def _stamp(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None


def _not_found(message: str) -> TaskRefused:
    return TaskRefused(message, code=ErrorCode.HOLD_NOT_FOUND)
