"""What the engine is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from daemon.catalog.catalog import Session
from daemon.catalog.rows import TaskRow
from daemon.storage.census import NOTHING, Census


class What(StrEnum):
    """What goes. RECORDS alone is refused while the task directory is there."""

    DIRECTORY = "directory"
    DIRECTORY_AND_RECORDS = "directory_and_records"
    RECORDS = "records"

    @property
    def directory(self) -> bool:
        return self is not What.RECORDS

    @property
    def records(self) -> bool:
        return self is not What.DIRECTORY


class Trigger(StrEnum):
    """Who asked."""

    API = "api"
    SWEEP = "sweep"
    CLI = "cli"


Guard = Callable[[Session, Sequence[TaskRow]], Mapping[str, str]]
"""Asked again under the rows' locks: by task id, why a task may not go any more; what it leaves out may."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The HTTP request that asked for it, if one did: the client's address and the id that its answer had."""

    client: str | None = None
    request_id: str | None = None


ELSEWHERE: Final = Origin()
"""Not by HTTP."""

MOST_REASON: Final = 500
"""Characters of a reason; longer ones are cut."""


@dataclass(frozen=True, slots=True)
class Request:
    """One deletion. ``force`` skips the running check, and nothing else; without a row it is required.

    ``orphan``: there has to be no row, and the directory has to be the one the last scan saw.
    ``initiator`` is for the log and the journal, such as ``api:127.0.0.1`` or ``policy:NAME``. With ``retain`` the
    directory waits that long in the trash, and can be restored with its records. ``origin``, ``plan_digest`` and
    ``reason``, one line, are for the journal, and so is ``job_id``. ``retried``: a try that fails may not be the last,
    and whoever asks reports the end (``Engine.report``). ``in_place``: a directory that the file system does
    not move is removed where it stands.
    """

    task_id: str
    what: What
    trigger: Trigger
    initiator: str
    force: bool = False
    policy: str | None = None
    sweep_id: str | None = None
    guard: Guard | None = None
    retain: timedelta | None = None
    orphan: bool = False
    origin: Origin = ELSEWHERE
    plan_digest: str | None = None
    reason: str | None = None
    job_id: str | None = None
    retried: bool = False
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A deletion that succeeded. ``deletion_id`` is None if there was nothing left to do.

    ``deleted_at`` is wall time of the pipeline's zone in whole seconds, and equals the row's ``updated_at``.
    ``retained_until`` is aware; None if it is gone for good. ``census`` is None for a directory that waits in the
    trash and was too large to be counted at once.
    """

    task_id: str
    deletion_id: str | None
    directory_deleted: bool
    records_deleted: bool
    census: Census | None
    deleted_at: datetime
    retained_until: datetime | None = None

    @property
    def counts(self) -> Census:
        """The counts; of what is not counted yet, none."""
        return self.census or NOTHING
