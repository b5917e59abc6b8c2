"""What the engine is asked and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from daemon.catalog.catalog import Session
from daemon.catalog.rows import TaskRow
from daemon.storage.census import Census


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


Guard = Callable[[Session, TaskRow], None]
"""Asked again under the row's lock; raises TaskRefused (TASK_CHANGED) if the task may not go any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """One deletion. ``force`` skips the running check, and nothing else; without a row it is required.

    ``initiator`` is for the log and the journal, such as ``api:127.0.0.1`` or ``policy:NAME``.
    """

    task_id: str
    what: What
    trigger: Trigger
    initiator: str
    force: bool = False
    policy: str | None = None
    sweep_id: str | None = None
    guard: Guard | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A deletion that succeeded. ``deletion_id`` is None if there was nothing left to do.

    ``deleted_at`` is wall time of the pipeline's zone in whole seconds, and equals the row's ``updated_at``.
    """

    task_id: str
    deletion_id: str | None
    directory_deleted: bool
    records_deleted: bool
    census: Census
    deleted_at: datetime
