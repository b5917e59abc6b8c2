"""Inventory, holds and stored plans; what a sweep did in full; policies that suspended themselves."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0003"
down_revision = "0002"

_NOT_RELEASED = sa.text("released_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "sweepd_inventory",
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("first_seen_at", UtcDateTime, nullable=False),
        sa.Column("last_seen_at", UtcDateTime, nullable=False),
        sa.Column("sightings", sa.Integer, nullable=False),
        sa.Column("signature", sa.String(96), nullable=False),
        sa.Column("measured_at", UtcDateTime),
        sa.Column("files", sa.BigInteger),
        sa.Column("directories", sa.BigInteger),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("freed_bytes", sa.BigInteger),
        sa.Column("modified_at", UtcDateTime),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "sweepd_scans",
        sa.Column("scan_id", sa.String(28), primary_key=True),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
        sa.Column("directories", sa.BigInteger, nullable=False),
        sa.Column("measured", sa.BigInteger, nullable=False),
        sa.Column("orphans", sa.BigInteger),
        sa.Column("missing", sa.BigInteger),
    )
    op.create_index("sweepd_scans_started_at", "sweepd_scans", ["started_at"])
    op.create_table(
        "sweepd_holds",
        sa.Column("hold_id", sa.String(28), primary_key=True),
        sa.Column("pattern", sa.String(128), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("placed_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("released_at", UtcDateTime),
        sa.Column("released_by", sa.Text),
    )
    op.create_index(
        "sweepd_holds_active",
        "sweepd_holds",
        ["expires_at"],
        postgresql_where=_NOT_RELEASED,
        sqlite_where=_NOT_RELEASED,
    )
    op.create_table(
        "sweepd_plans",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("policy", sa.String(64), nullable=False),
        sa.Column("policy_digest", sa.String(64), nullable=False),
        sa.Column("made_at", UtcDateTime, nullable=False),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("considered", sa.BigInteger, nullable=False),
        sa.Column("selected", sa.BigInteger, nullable=False),
        sa.Column("stay_counts", sa.Text, nullable=False),
    )
    op.create_index("sweepd_plans_policy", "sweepd_plans", ["policy", "made_at"])
    op.create_table(
        "sweepd_plan_tasks",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("task_id", sa.String(128), nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    with op.batch_alter_table("sweepd_sweeps") as table:
        table.add_column(sa.Column("plan_digest", sa.String(64)))
        table.add_column(sa.Column("report", sa.Text))
    with op.batch_alter_table("sweepd_policies") as table:
        table.add_column(sa.Column("suspended_at", UtcDateTime))
        table.add_column(sa.Column("suspended_reason", sa.Text))
        table.add_column(sa.Column("suspended_digest", sa.String(64)))
        table.add_column(sa.Column("failures", sa.Integer, nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    with op.batch_alter_table("sweepd_policies") as table:
        for name in ("failures", "suspended_digest", "suspended_reason", "suspended_at"):
            table.drop_column(name)
    with op.batch_alter_table("sweepd_sweeps") as table:
        table.drop_column("report")
        table.drop_column("plan_digest")
    for name in ("sweepd_plan_tasks", "sweepd_plans", "sweepd_holds", "sweepd_scans", "sweepd_inventory"):
        op.drop_table(name)
