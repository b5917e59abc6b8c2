"""What ``data`` holds in the answers about jobs."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from daemon.catalog.jobs import JobState
from daemon.jobs.journal import Kind
from daemon.web.answer_models import BatchResult, Document


class JobOptions(Document):
    """How it deletes; ``retain`` is a duration such as ``7d``."""

    delete_database_records: bool
    force: bool
    retain: str | None = Field(examples=["7d"])
    continue_on_error: bool


class JobProgress(Document):
    """How far it is. The totals of files and bytes are what is known so far."""

    tasks_total: int
    tasks_done: int
    deleted: int
    failed: int
    files_total: int
    files_done: int
    bytes_total: int
    bytes_done: int
    files_per_second: float
    remaining_seconds: float | None


class ListedJob(Document):
    """A job: deletions in the background."""

    job_id: str
    kind: Kind
    state: JobState
    initiator: str
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None
    url: str
    events_url: str
    options: JobOptions
    progress: JobProgress


class ShownJob(ListedJob):
    """A job with what became of its tasks, once it has ended."""

    result: BatchResult | None


class JobPage(Document):
    """One page of jobs, the newest first."""

    jobs: list[ListedJob]
    next_cursor: str | None
