"""What ``data`` holds in the answers about tasks, deletions, the trash, the inventory, holds and health.

They describe and check nothing at run time; the tests hold every answer against them. Instants are in UTC, timestamps
of a task's row (text) are wall time of the pipeline's zone, sizes are in bytes.
"""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, RootModel

from daemon.catalog.scans import Drifted, Scan
from daemon.catalog.totals import Large, Total
from daemon.deletion.models import What
from daemon.errors import ErrorCode
from daemon.web.errors import ApiCode


class Document(BaseModel):
    """An object with these keys. A key with a default may be absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DeletedTask(Document):
    """One deletion. The counts are null for a directory too large to be counted at once.

    ``deleted_at`` is wall time of the pipeline's zone; ``retained_until`` is there for what waits in the trash.
    """

    task_id: str
    directory_deleted: bool
    database_records_deleted: bool
    deleted_files_count: int | None
    deleted_size: str | None = Field(examples=["2.5 MB"])
    deleted_at: str = Field(examples=["2025-07-02T21:45:30"])
    deleted_bytes: int | None
    freed_bytes: int | None
    deletion_id: str | None
    retained_until: AwareDatetime | None = None


class FailedTask(Document):
    """One task of a batch that was not deleted, and why."""

    task_id: str
    error: str
    error_code: ErrorCode | ApiCode
    hint: str
    current_status: str | None = None
    details: dict[str, object] | None = None


class BatchSummary(Document):
    """The batch in figures."""

    total_requested: int
    successfully_deleted: int
    failed: int
    not_attempted: int
    total_size_freed: str = Field(examples=["3.7 MB"])
    deleted_bytes: int
    freed_bytes: int


class BatchResult(Document):
    """What became of each task; ``not_attempted``: ids that were not tried."""

    deleted_tasks: list[DeletedTask]
    failed_tasks: list[FailedTask]
    not_attempted: list[str]
    summary: BatchSummary
    deleted_at: str | None


class TaskRow(Document):
    """A task's row."""

    task_id: str
    task_name: str | None
    status: str | None
    directory_exists: bool
    updated_at: str | None
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    by_user: str | None
    db_name: str | None


class ListedTask(TaskRow):
    """A task's row, and what the last scan counted in its directory: null if none did."""

    files: int | None
    size_bytes: int | None
    held: bool


class TasksBeside(Document):
    """The same list beside ``data``."""

    tasks: list[ListedTask]


class TaskPage(TasksBeside):
    """One page of the tasks; ``total``: how many there are, null if they were not counted."""

    total: int | None
    limit: int
    offset: int
    next_cursor: str | None


class RestoredDeletion(Document):
    """One deletion that was undone."""

    deletion_id: str
    directory_restored: bool
    database_records_restored: bool


class RestoredTask(Document):
    """The deletions undone."""

    task_id: str
    restored: list[RestoredDeletion]


class WaitingDeletion(Document):
    """One deletion that waits in the trash; the counts are null until it is counted."""

    deletion_id: str
    task_id: str
    what: What
    initiator: str
    deleted_at: AwareDatetime
    retained_until: AwareDatetime
    files: int | None
    size_bytes: int | None


class TrashList(Document):
    """What waits in the trash, the first to be purged first."""

    deletions: list[WaitingDeletion]
    total: int


class Purge(Document):
    """How far one purge is."""

    task_ids: list[str]
    files_total: int | None
    files_done: int
    bytes_total: int | None
    bytes_done: int
    files_per_second: float
    remaining_seconds: float | None


class PurgeList(Document):
    """The purges under way."""

    purges: list[Purge]


class GroupTotal(Document):
    """Sums over some directories; ``has_row`` is false for those that have no row. ``uncounted``: not looked into."""

    has_row: bool
    directories: int
    uncounted: int
    files: int
    size_bytes: int
    freed_bytes: int


class OfStatus(GroupTotal):
    """Those of one status."""

    status: str | None


class OfUser(GroupTotal):
    """Those of one user."""

    user: str | None


class OfDatabase(GroupTotal):
    """Those of one database."""

    database: str | None


class DriftCount(Document):
    """``orphans``: directories without a row; ``missing``: rows without their directory.

    ``returned``: rows that say that their directory is gone, while something has its name.
    """

    orphans: int
    missing: int
    returned: int


class InventoryOverview(Document):
    """What the last scan found. ``scan`` and ``drift`` are null before the first complete one."""

    scan: Scan | None
    total: Total
    by_status: list[OfStatus]
    by_user: list[OfUser]
    by_database: list[OfDatabase]
    largest: list[Large]
    drift: DriftCount | None


class DriftFound(Document):
    """With ``?drift=``: how many there are of that kind, and the first of them."""

    scan: Scan | None
    total: int | None
    tasks: list[Drifted]


class InventoryShown(RootModel[InventoryOverview | DriftFound]):
    """The overview, or with ``?drift=`` one kind of drift."""


class ShownHold(Document):
    """A hold."""

    hold_id: str
    pattern: str
    owner: str
    reason: str
    placed_at: AwareDatetime
    until: AwareDatetime | None
    in_force: bool
    released_at: AwareDatetime | None
    released_by: str | None


class PlacedHold(ShownHold):
    """A new hold, and how many tasks, directories gone already and deletions in the trash it is about."""

    tasks: int
    directories_gone: int
    in_trash: int


class HoldList(Document):
    """The holds, the oldest first."""

    holds: list[ShownHold]
    total: int


class Nothing(Document):
    """An empty object."""


class Check(Document):
    """One component; ``problem`` is null if it does its work."""

    ready: bool
    problem: str | None


class Readiness(Document):
    """Every component by name."""

    checks: dict[str, Check]
