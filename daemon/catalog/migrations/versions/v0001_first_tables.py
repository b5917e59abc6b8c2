"""The journal of deletions, the memory of policies and sweeps, the storage root's id."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sweepd_roots",
        sa.Column("root_id", sa.String(36), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("registered_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "sweepd_deletions",
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
        sa.CheckConstraint("state IN ('committed', 'purged', 'aborted')", name="sweepd_deletions_state"),
    )
    op.create_index("sweepd_deletions_task_id", "sweepd_deletions", ["task_id"])
    op.create_index("sweepd_deletions_committed_at", "sweepd_deletions", ["committed_at"])
    op.create_table(
        "sweepd_policies",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("first_seen_at", UtcDateTime, nullable=False),
        sa.Column("last_run_at", UtcDateTime),
        sa.Column("last_success_at", UtcDateTime),
    )
    op.create_table(
        "sweepd_sweeps",
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
    )
    op.create_index("sweepd_sweeps_policy", "sweepd_sweeps", ["policy", "started_at"])


def downgrade() -> None:
    for table in ("sweepd_sweeps", "sweepd_policies", "sweepd_deletions", "sweepd_roots"):
        op.drop_table(table)
