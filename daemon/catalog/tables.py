"""sweepd's own tables. They live beside the pipeline's, so that a deletion commits with the row it changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC datetimes: ``timestamptz`` on PostgreSQL, naive UTC text on SQLite, which has no zones."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(sa.DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        aware = value.astimezone(UTC)
        return aware.replace(tzinfo=None) if dialect.name == "sqlite" else aware

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect  # the value itself says whether it has a zone
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _where(condition: str) -> dict[str, Any]:
    return {f"{dialect}_where": sa.text(condition) for dialect in ("postgresql", "sqlite")}


metadata = sa.MetaData()

roots = sa.Table(
    "sweepd_roots",
    metadata,
    sa.Column("root_id", sa.String(36), primary_key=True),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("registered_at", UtcDateTime, nullable=False),
    # which folder it is, as long as there was no room for a marker in it
    sa.Column("unmarked", sa.Text),
)

deletions = sa.Table(
    "sweepd_deletions",
    metadata,
    sa.Column("deletion_id", sa.String(28), primary_key=True),
    sa.Column("task_id", sa.String(128), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("what", sa.String(32), nullable=False),
    sa.Column("trigger", sa.String(16), nullable=False),
    sa.Column("initiator", sa.Text, nullable=False),
    sa.Column("policy", sa.String(64)),
    sa.Column("sweep_id", sa.String(28)),
    sa.Column("forced", sa.Boolean, nullable=False),
    sa.Column("directory_deleted", sa.Boolean, nullable=False),
    sa.Column("records_deleted", sa.Boolean, nullable=False),
    sa.Column("committed_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("files", sa.BigInteger),
    sa.Column("directories", sa.BigInteger),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("freed_bytes", sa.BigInteger),
    sa.Column("error", sa.Text),
    sa.Column("purge_after", UtcDateTime),
    sa.Column("restored_by", sa.Text),
    sa.Column("client", sa.Text),
    sa.Column("request_id", sa.String(64)),
    sa.Column("plan_digest", sa.String(64)),
    sa.Column("reason", sa.Text),
    # the job, or the request with an idempotency key, that it belongs to
    sa.Column("job_id", sa.String(28)),
    # the state that the audit file has; empty: none of it yet; null: there was no such file when it was committed
    sa.Column("audited", sa.String(16)),
    # the identity of a directory that is removed where it stands
    sa.Column("in_place", sa.Text),
    sa.CheckConstraint("state IN ('committed', 'purged', 'aborted', 'restored')", name="sweepd_deletions_state"),
    sa.Index("sweepd_deletions_task_id", "task_id"),
    sa.Index("sweepd_deletions_committed_at", "committed_at"),
    sa.Index("sweepd_deletions_open", "purge_after", "deletion_id", **_where("state = 'committed'")),
    sa.Index("sweepd_deletions_sweep_id", "sweep_id", **_where("sweep_id IS NOT NULL")),
    sa.Index("sweepd_deletions_job_id", "job_id", **_where("job_id IS NOT NULL")),
    sa.Index("sweepd_deletions_unwritten", "committed_at", **_where("audited <> state")),
)

snapshots = sa.Table(
    "sweepd_snapshots",
    metadata,
    sa.Column("deletion_id", sa.String(28), primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("steps", sa.Text),
)

policies = sa.Table(
    "sweepd_policies",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("last_run_at", UtcDateTime),
    sa.Column("last_success_at", UtcDateTime),
    sa.Column("suspended_at", UtcDateTime),
    sa.Column("suspended_reason", sa.Text),
    sa.Column("suspended_digest", sa.String(64)),
    # sweeps in a row that failed by the policy's own doing
    sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")),
    # the digest of the schedule it runs by, if it runs by one, and since when it could
    sa.Column("scheduled_as", sa.String(64)),
    sa.Column("scheduled_at", UtcDateTime),
)

sweeps = sa.Table(
    "sweepd_sweeps",
    metadata,
    sa.Column("sweep_id", sa.String(28), primary_key=True),
    sa.Column("policy", sa.String(64), nullable=False),
    sa.Column("trigger", sa.String(16), nullable=False),
    sa.Column("mode", sa.String(16), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("considered", sa.BigInteger, nullable=False),
    sa.Column("selected", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=False),
    sa.Column("failed", sa.BigInteger, nullable=False),
    sa.Column("dropped", sa.BigInteger, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("plan_digest", sa.String(64)),
    sa.Column("report", sa.Text),
    # whether those who listen have been told; of sweeps before there was anybody to tell, true
    sa.Column("noticed", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Index("sweepd_sweeps_policy", "policy", "started_at"),
    sa.Index("sweepd_sweeps_unnoticed", "finished_at", **_where("NOT noticed")),
)

inventory = sa.Table(
    "sweepd_inventory",
    metadata,
    sa.Column("task_id", sa.String(128), primary_key=True),
    sa.Column("first_seen_at", UtcDateTime, nullable=False),
    sa.Column("last_seen_at", UtcDateTime, nullable=False),
    sa.Column("sightings", sa.Integer, nullable=False),
    # which directory it was, and its own times: a change is cause to count again
    sa.Column("signature", sa.String(96), nullable=False),
    sa.Column("measured_at", UtcDateTime),
    sa.Column("files", sa.BigInteger),
    sa.Column("directories", sa.BigInteger),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("freed_bytes", sa.BigInteger),
    sa.Column("modified_at", UtcDateTime),
    sa.Column("error", sa.Text),
    # the first of the scans in a row that met it without a row in the pipeline's table, and how many they are
    sa.Column("orphan_since", UtcDateTime),
    sa.Column("orphan_sightings", sa.Integer, nullable=False, server_default="0"),
    sa.Index("sweepd_inventory_size", "size_bytes", "task_id", **_where("size_bytes IS NOT NULL")),
    # every scan writes each row anew: in the page where it is, without touching the indexes
    postgresql_with={"fillfactor": 50},
)

scans = sa.Table(
    "sweepd_scans",
    metadata,
    sa.Column("scan_id", sa.String(28), primary_key=True),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("directories", sa.BigInteger, nullable=False),
    sa.Column("measured", sa.BigInteger, nullable=False),
    sa.Column("orphans", sa.BigInteger),
    sa.Column("missing", sa.BigInteger),
    sa.Index("sweepd_scans_started_at", "started_at"),
)

holds = sa.Table(
    "sweepd_holds",
    metadata,
    sa.Column("hold_id", sa.String(28), primary_key=True),
    sa.Column("pattern", sa.String(128), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("placed_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("released_at", UtcDateTime),
    sa.Column("released_by", sa.Text),
    sa.Index("sweepd_holds_active", "expires_at", **_where("released_at IS NULL")),
)

plans = sa.Table(
    "sweepd_plans",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("policy", sa.String(64), nullable=False),
    # what the policy selects and does, without its mode, its schedule and the protections around it
    sa.Column("policy_digest", sa.String(64), nullable=False),
    sa.Column("made_at", UtcDateTime, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("considered", sa.BigInteger, nullable=False),
    sa.Column("selected", sa.BigInteger, nullable=False),
    sa.Column("stay_counts", sa.Text, nullable=False),
    sa.Index("sweepd_plans_policy", "policy", "made_at"),
)

plan_tasks = sa.Table(
    "sweepd_plan_tasks",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("task_id", sa.String(128), nullable=False),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

refusals = sa.Table(
    "sweepd_refusals",
    metadata,
    sa.Column("minute", UtcDateTime, primary_key=True),
    sa.Column("address", sa.String(64), primary_key=True),
    sa.Column("error_code", sa.String(32), primary_key=True),
    # its name; empty if none was known
    sa.Column("token", sa.String(64), primary_key=True),
    sa.Column("first_at", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
    sa.Column("method", sa.String(16), nullable=False),
    sa.Column("path", sa.String(256), nullable=False),
    sa.Column("request_id", sa.String(32), nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Index("sweepd_refusals_last_at", "last_at"),
)

jobs = sa.Table(
    "sweepd_jobs",
    metadata,
    sa.Column("job_id", sa.String(28), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("initiator", sa.Text, nullable=False),
    sa.Column("delete_database_records", sa.Boolean, nullable=False),
    sa.Column("force", sa.Boolean, nullable=False),
    sa.Column("retain_seconds", sa.BigInteger),
    sa.Column("continue_on_error", sa.Boolean, nullable=False),
    sa.Column("client", sa.Text),
    sa.Column("request_id", sa.String(64)),
    sa.Column("reason", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("started_at", UtcDateTime),
    sa.Column("finished_at", UtcDateTime),
    sa.Column("cancelled_by", sa.Text),
    sa.Column("tasks_total", sa.Integer, nullable=False),
    # what the answer to the batch says: wall time of the pipeline's zone
    sa.Column("deleted_at", sa.DateTime),
    sa.CheckConstraint("state IN ('queued', 'running', 'finished', 'cancelled')", name="sweepd_jobs_state"),
    sa.Index("sweepd_jobs_open", "job_id", **_where("state IN ('queued', 'running')")),
    sa.Index("sweepd_jobs_finished_at", "finished_at"),
)

job_tasks = sa.Table(
    "sweepd_job_tasks",
    metadata,
    sa.Column("job_id", sa.String(28), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    # as JSON writes it: what is no task id may hold what no database takes
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("number", sa.Integer),
    sa.Column("outcome", sa.String(16)),
    sa.Column("deletion_id", sa.String(28)),
    sa.Column("directory_deleted", sa.Boolean),
    sa.Column("records_deleted", sa.Boolean),
    sa.Column("files", sa.BigInteger),
    sa.Column("directories", sa.BigInteger),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("freed_bytes", sa.BigInteger),
    sa.Column("deleted_at", sa.DateTime),
    sa.Column("retained_until", UtcDateTime),
    sa.Column("error", sa.Text),
    sa.Index("sweepd_job_tasks_number", "job_id", "number"),
)

idempotency = sa.Table(
    "sweepd_idempotency",
    metadata,
    sa.Column("caller", sa.String(255), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("job_id", sa.String(28), nullable=False),
    sa.Column("begun_at", UtcDateTime, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("headers", sa.Text),
    sa.Column("body", sa.Text),
    sa.Index("sweepd_idempotency_begun_at", "begun_at"),
)

notices = sa.Table(
    "sweepd_notices",
    metadata,
    sa.Column("notice_id", sa.Integer, primary_key=True),
    sa.Column("subject", sa.String(16), nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("severity", sa.String(8), nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("policy", sa.String(64)),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
)

alarms = sa.Table(
    "sweepd_alarms",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("raised_at", UtcDateTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

announcements = sa.Table(
    "sweepd_announcements",
    metadata,
    sa.Column("policy", sa.String(64), primary_key=True),
    sa.Column("task_id", sa.String(128), primary_key=True),
    sa.Column("announced_at", UtcDateTime, nullable=False),
    # the digest of the action it was announced with; null: announced before that was kept
    sa.Column("action", sa.String(64)),
)

task_failures = sa.Table(
    "sweepd_task_failures",
    metadata,
    sa.Column("policy", sa.String(64), primary_key=True),
    # as the pipeline's row has it: what is no task id may be longer
    sa.Column("task_id", sa.Text, primary_key=True),
    # what the policy selects and does, and the state of the task: if either changes, the task is tried at once
    sa.Column("meaning", sa.String(64), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("code", sa.String(32), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("first_at", UtcDateTime, nullable=False),
    sa.Column("last_at", UtcDateTime, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
)

outbox = sa.Table(
    "sweepd_outbox",
    metadata,
    sa.Column("message_id", sa.String(40), primary_key=True),
    sa.Column("webhook", sa.String(64), primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    # exactly what is signed and sent
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),
    sa.Column("error", sa.Text),
    sa.Index("sweepd_outbox_next_at", "webhook", "next_at"),
)
