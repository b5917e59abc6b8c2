"""Jobs, what became of each of their tasks, and the answers to requests with an idempotency key."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0006"
down_revision = "0003"

_OF_A_JOB = sa.text("job_id IS NOT NULL")
_OPEN = sa.text("state IN ('queued', 'running')")


def upgrade() -> None:
    with op.batch_alter_table("sweepd_deletions") as table:
        table.add_column(sa.Column("job_id", sa.String(28)))
    op.create_index(
        "sweepd_deletions_job_id",
        "sweepd_deletions",
        ["job_id"],
        postgresql_where=_OF_A_JOB,
        sqlite_where=_OF_A_JOB,
    )
    op.create_table(
        "sweepd_jobs",
        sa.Column("job_id", sa.String(28), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("initiator", sa.Text, nullable=False),
        sa.Column("delete_database_records", sa.Boolean, nullable=False),
        sa.Column("force", sa.Boolean, nullable=False),
        sa.Column("retain_seconds", sa.BigInteger),
        sa.Column("continue_on_error", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("cancelled_by", sa.Text),
        sa.Column("tasks_total", sa.Integer, nullable=False),
        sa.Column("deleted_at", sa.DateTime),
        sa.CheckConstraint("state IN ('queued', 'running', 'finished', 'cancelled')", name="sweepd_jobs_state"),
    )
    op.create_index("sweepd_jobs_open", "sweepd_jobs", ["job_id"], postgresql_where=_OPEN, sqlite_where=_OPEN)
    op.create_index("sweepd_jobs_finished_at", "sweepd_jobs", ["finished_at"])
    op.create_table(
        "sweepd_job_tasks",
        sa.Column("job_id", sa.String(28), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
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
    )
    op.create_index("sweepd_job_tasks_number", "sweepd_job_tasks", ["job_id", "number"])
    op.create_table(
        "sweepd_idempotency",
        sa.Column("caller", sa.String(255), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("job_id", sa.String(28), nullable=False),
        sa.Column("begun_at", UtcDateTime, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("headers", sa.Text),
        sa.Column("body", sa.Text),
    )
    op.create_index("sweepd_idempotency_begun_at", "sweepd_idempotency", ["begun_at"])


def downgrade() -> None:
    for name in ("sweepd_idempotency", "sweepd_job_tasks", "sweepd_jobs"):
        op.drop_table(name)
    op.drop_index("sweepd_deletions_job_id", "sweepd_deletions")
    with op.batch_alter_table("sweepd_deletions") as table:
        table.drop_column("job_id")
