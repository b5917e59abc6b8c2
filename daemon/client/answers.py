"""What the API answers, as types: plain dictionaries, with every field documented in docs/reference/api.md.

Instants are text in ISO 8601. A newer daemon may add fields.
"""

from __future__ import annotations

from typing import Any, TypedDict


class Task(TypedDict):
    """One row of the list."""

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


class _Retained(TypedDict, total=False):
    retained_until: str


class Deleted(_Retained):
    """One deletion. The counts are None for what was too large to be counted before the answer."""

    task_id: str
    directory_deleted: bool
    database_records_deleted: bool
    deleted_files_count: int | None
    deleted_size: str | None
    deleted_at: str
    deleted_bytes: int | None
    freed_bytes: int
    deletion_id: str | None


class _Details(TypedDict, total=False):
    hint: str
    current_status: str
    details: dict[str, Any]


class FailedTask(_Details):
    """Why one task of a batch was not deleted."""

    task_id: str
    error: str
    error_code: str


class Summary(TypedDict):
    """A batch in numbers."""

    total_requested: int
    successfully_deleted: int
    failed: int
    not_attempted: int
    total_size_freed: str
    deleted_bytes: int
    freed_bytes: int


class Batch(TypedDict):
    """What became of each task."""

    deleted_tasks: list[Deleted]
    failed_tasks: list[FailedTask]
    not_attempted: list[str]
    summary: Summary
    deleted_at: str | None


class Progress(TypedDict):
    """How far a job is."""

    tasks_total: int
    tasks_done: int
    deleted: int
    failed: int
    files_total: int | None
    files_done: int
    bytes_total: int | None
    bytes_done: int
    files_per_second: float
    remaining_seconds: float | None


class _Result(TypedDict, total=False):
    result: Batch | None


class Job(_Result):
    """A deletion in the background; ``state`` is queued, running, finished or cancelled. Lists leave ``result`` out."""

    job_id: str
    kind: str
    state: str
    initiator: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    url: str
    events_url: str
    options: dict[str, Any]
    progress: Progress


class Hold(TypedDict):
    """A person's word that tasks stay. What is placed has ``tasks``, ``directories_gone`` and ``in_trash`` too."""

    hold_id: str
    pattern: str
    owner: str
    reason: str
    placed_at: str
    until: str | None
    in_force: bool
    released_at: str | None
    released_by: str | None


class Waiting(TypedDict):
    """A deletion that waits in the trash."""

    deletion_id: str
    task_id: str
    what: str
    initiator: str
    deleted_at: str
    retained_until: str
    files: int | None
    size_bytes: int | None
