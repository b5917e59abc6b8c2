"""What ``data`` holds in the answers about one task, the audit trail, refused requests and the storage's use."""

from __future__ import annotations

from pydantic import AwareDatetime

from daemon.catalog.ledger import State
from daemon.catalog.scans import Scan
from daemon.catalog.selection import Verdict
from daemon.catalog.totals import Total
from daemon.deletion.models import Trigger, What
from daemon.policy.models import Mode
from daemon.web.answer_models import Document, DriftCount, ListedTask, OfDatabase, OfStatus, OfUser, ShownHold
from daemon.web.errors import ApiCode
from daemon.web.sweep_models import Eligible


class AuditedDeletion(Document):
    """One deletion: who asked, from where and why, by which policy and plan; what went, and what came of it."""

    deletion_id: str
    task_id: str
    what: What
    state: State
    deleted_at: AwareDatetime
    trigger: Trigger
    initiator: str
    client: str | None
    request_id: str | None
    reason: str | None
    policy: str | None
    sweep_id: str | None
    plan_digest: str | None
    forced: bool
    directory_deleted: bool
    records_deleted: bool
    files: int | None
    directories: int | None
    size_bytes: int | None
    freed_bytes: int | None
    error: str | None
    finished_at: AwareDatetime | None
    retained_until: AwareDatetime | None
    restored_at: AwareDatetime | None
    restored_by: str | None


class AuditPage(Document):
    """One page of the audit trail, the newest first."""

    deletions: list[AuditedDeletion]
    limit: int
    next_cursor: str | None


class Seen(Document):
    """What scans found in one directory."""

    first_seen_at: AwareDatetime
    last_seen_at: AwareDatetime
    sightings: int
    measured_at: AwareDatetime | None
    files: int | None
    directories: int | None
    size_bytes: int | None
    freed_bytes: int | None
    modified_at: AwareDatetime | None
    error: str | None


class PolicyVerdict(Document):
    """What one policy says of a task, in short; ``verdict`` is null if it does not look at it."""

    policy: str
    mode: Mode
    goes: bool
    verdict: Verdict | None
    reason: str | None
    eligible: Eligible | None


class Verdicts(Document):
    """What every policy says of a task, and the protections on it."""

    protections: list[str]
    policies: list[PolicyVerdict]


class KnownTask(Document):
    """Everything that is known of one task; ``task`` is null without a row, ``inventory`` if no scan met it."""

    task_id: str
    task: ListedTask | None
    inventory: Seen | None
    deletions: list[AuditedDeletion]
    holds: list[ShownHold]
    explanation: Verdicts


class OfAge(Document):
    """Those created so long ago; null: no row, or one without a date."""

    age: str | None
    directories: int
    uncounted: int
    files: int
    size_bytes: int
    freed_bytes: int


class RefusedRequest(Document):
    """Requests refused within one minute for one reason, of one address and token; the path is the first one's."""

    first_at: AwareDatetime
    last_at: AwareDatetime
    count: int
    error_code: ApiCode
    address: str
    token: str | None
    method: str
    path: str
    request_id: str


class RefusalList(Document):
    """Refused requests, the newest first."""

    refusals: list[RefusedRequest]


class TrashUse(Document):
    """What waits in the trash. ``uncounted``: directories that are not in the sums."""

    deletions: int
    uncounted: int
    files: int
    size_bytes: int
    freed_bytes: int
    oldest_at: AwareDatetime | None
    next_purge_at: AwareDatetime | None


class FileSystemUse(Document):
    """The file system of the storage root."""

    size_bytes: int
    used_bytes: int
    free_bytes: int
    available_bytes: int
    inodes: int
    used_inodes: int


class StorageUse(Document):
    """Who uses how much. ``file_system`` is null while the storage root is not there."""

    scan: Scan | None
    total: Total
    by_status: list[OfStatus]
    by_user: list[OfUser]
    by_database: list[OfDatabase]
    by_age: list[OfAge]
    drift: DriftCount | None
    trash: TrashUse
    file_system: FileSystemUse | None
