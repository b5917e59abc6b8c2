"""The catalog of one installation: its database, what its tables look like, and the transactions on them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon import clock
from daemon.catalog import holds, pipeline_schema, setup, task_failures
from daemon.catalog.database import Database, Locked
from daemon.catalog.holds import Hold
from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.interruption import Interruption
from daemon.catalog.pipeline import PipelineTables, inspect_tables
from daemon.catalog.selection import Selection
from daemon.errors import CatalogNotReady, CatalogUnavailable, ErrorCode, TaskRefused
from daemon.policy.models import Policy, PolicySet


class Session:
    """One transaction. ``connection`` is for the functions of this package only."""

    def __init__(
        self, connection: Connection, tables: PipelineTables, timeline: Timeline, at: datetime | None = None
    ) -> None:
        self.connection = connection
        self.tables = tables
        self._timeline = timeline
        self._at = at
        self._now: Instant | None = None

    @property
    def now(self) -> Instant:
        """The database's present when it was first asked for: one and the same for the whole transaction.

        Another instant if the session was opened ``at`` one.
        """
        if self._now is None:
            self._now = self._timeline.now(self.connection, self._at)
        return self._now

    @property
    def ahead_of(self) -> datetime | None:
        """This machine's present (aware), if the session was opened at another instant: for a look ahead only."""
        return None if self._at is None else clock.now()

    def claim(self, task_ids: Sequence[str]) -> list[Hold]:
        """No hold is placed from now on until the transaction has ended; those in force that may be about these tasks.

        Raises as the connection does.
        """
        if self._timeline.sqlite:  # who writes there is alone
            return holds.active(self.connection, self.now.utc, about=task_ids)
        present, found = holds.claim(self.connection, self._timeline.present, task_ids)
        if self._now is None:
            self._now = Instant(present.utc.astimezone(UTC), present.local)
        return found

    @cached_property
    def zone(self) -> tzinfo:
        """The zone the pipeline writes its timestamps in."""
        return self._timeline.zone(self.connection)


class Catalog:
    """The database may be down when this is made: its tables are looked at in the first transaction."""

    def __init__(
        self,
        url: str,
        *,
        timezone: str | None,
        running_statuses: tuple[str, ...],
        statuses: tuple[str, ...] = (),
        pool_size: int = 10,
    ) -> None:
        self.database = Database(url, pool_size=pool_size)
        self.timeline = Timeline(sqlite=self.database.is_sqlite, timezone=timezone)
        self.running_statuses = running_statuses
        self._timezone = timezone
        self.statuses = statuses
        """Those that a task can have, as configured; none: any."""
        self._lock = threading.Lock()
        self._tables: PipelineTables | None = None
        self._root_id: str | None = None

    @contextmanager
    def read(self, at: datetime | None = None, interruption: Interruption | None = None) -> Iterator[Session]:
        """A transaction that changes nothing; ``at`` (aware) stands for its present, to look ahead.

        ``interruption`` can end it. Raises CatalogUnavailable or CatalogNotReady.
        """
        watched = interruption or Interruption()
        with self.database.read(self._reading()) as connection, watched.watching(connection):
            yield self._session(connection, at)

    @contextmanager
    def write(self, *, reads_tasks: bool = False) -> Iterator[Session]:
        """A transaction that commits at its end. Raises as ``Database.write`` does.

        ``reads_tasks``: it reads the pipeline's tables while it has a lock that a deletion may be waiting for.
        """
        with self.database.write(self._reading() if reads_tasks else None) as connection:
            yield self._session(connection)

    def _reading(self) -> sa.TextClause | None:
        if self.database.is_sqlite:
            return None
        if self._tables is None:
            with self.database.read() as connection:
                return self._session(connection).tables.reading
        return self._tables.reading

    def check(self, *, thoroughly: bool = False) -> None:
        """Look at schema and tables afresh, ``thoroughly`` also at the ids of all tasks where no key keeps them apart.

        Raises CatalogUnavailable or CatalogNotReady.
        """
        with self.database.read() as connection:
            setup.check_schema(connection)
            if not (self.database.is_sqlite or _is_writable(connection)):
                self.database.close()  # a connection keeps the setting it began with
                raise CatalogUnavailable(
                    f"the database {self.database.name} takes no changes: it is a standby, or has "
                    "default_transaction_read_only set"
                )
            self._tables = inspect_tables(connection, self._timezone)
            if thoroughly:
                pipeline_schema.check_ids(connection, self._tables.found)

    def root_id(self) -> str:
        """The id of the storage root this catalog belongs to. Raises CatalogNotReady if there is none yet."""
        if self._root_id is not None:
            return self._root_id
        with self.read() as session:
            found = setup.registered_root(session.connection)
        if found is None:
            raise CatalogNotReady("this catalog knows no storage root; run: sweepd init")
        self._root_id = found
        return found

    def unmarked_root(self) -> str | None:
        """Which folder the storage root is, as long as it has no marker. Raises as ``read`` does."""
        with self.read() as session:
            return setup.unmarked_root(session.connection)

    def select(
        self, session: Session, policy: Policy, policies: PolicySet, *, backoff: bool = True, notice: bool = True
    ) -> Selection:
        """Compile a policy for this installation as of the session's instant, with the holds in force then.

        Without ``backoff`` no task waits to be tried again after a failure, without ``notice`` none for its notice
        period.
        """
        tables, now = session.tables, session.now
        return Selection(
            policy,
            policies,
            tables=tables,
            timeline=self.timeline,
            now=now,
            running_statuses=self.running_statuses,
            active_holds=self.holds(session),
            failures=task_failures.backing_off(session.connection, tables, policy, now.utc) if backoff else None,
            notice=policy.notice if notice else None,
            ahead_of=session.ahead_of,
        )

    def holds(self, session: Session, *, claiming: Sequence[str] | None = None) -> list[Hold]:
        """The holds in force at the session's instant; with ``claiming``, those that may be about these tasks.

        To claim is to delete: no hold is placed from then on until the transaction has ended. Raises
        CatalogUnavailable or CatalogNotReady, and TaskRefused (TASK_HELD) if the look-up fails for any other reason:
        what cannot be looked up counts as held.
        """
        try:
            with self.database.translated():
                if claiming is not None:
                    return session.claim(claiming)
                return holds.active(session.connection, session.now.utc)
        except (CatalogUnavailable, CatalogNotReady, Locked):
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise TaskRefused(
                f"the holds could not be looked up ({reason}), so every task counts as held; nothing was deleted",
                code=ErrorCode.TASK_HELD,
            ) from error

    def close(self) -> None:
        self.database.close()

    def _session(self, connection: Connection, at: datetime | None = None) -> Session:
        with self._lock:
            if self._tables is None:
                setup.check_schema(connection)
                self._tables = inspect_tables(connection, self._timezone)
            tables = self._tables
        return Session(connection, tables, self.timeline, at)


def _is_writable(connection: Connection) -> bool:
    setting = sa.func.current_setting("transaction_read_only")
    return bool(connection.execute(sa.select(setting)).scalar_one() == "off")
