"""What webhooks are told: notices, alarms, announcements, messages; and what of the journal is in the audit file."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0007"
down_revision = "0006"

_UNNOTICED = sa.text("NOT noticed")
_UNWRITTEN = sa.text("audited <> state")


def upgrade() -> None:
    op.create_table(
        "sweepd_notices",
        sa.Column("notice_id", sa.Integer, primary_key=True),
        sa.Column("subject", sa.String(16), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("severity", sa.String(8), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("policy", sa.String(64)),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_table(
        "sweepd_alarms",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("raised_at", UtcDateTime, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "sweepd_announcements",
        sa.Column("policy", sa.String(64), primary_key=True),
        sa.Column("task_id", sa.String(128), primary_key=True),
        sa.Column("announced_at", UtcDateTime, nullable=False),
    )
    op.create_table(
        "sweepd_outbox",
        sa.Column("message_id", sa.String(40), primary_key=True),
        sa.Column("webhook", sa.String(64), primary_key=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", UtcDateTime, nullable=False),
        sa.Column("error", sa.Text),
    )
    op.create_index("sweepd_outbox_next_at", "sweepd_outbox", ["webhook", "next_at"])
    # What has ended before is no news.
    op.add_column("sweepd_sweeps", sa.Column("noticed", sa.Boolean, nullable=False, server_default=sa.true()))
    op.create_index(
        "sweepd_sweeps_unnoticed",
        "sweepd_sweeps",
        ["finished_at"],
        postgresql_where=_UNNOTICED,
        sqlite_where=_UNNOTICED,
    )
    op.add_column("sweepd_deletions", sa.Column("audited", sa.String(16)))
    op.create_index(
        "sweepd_deletions_unwritten",
        "sweepd_deletions",
        ["committed_at"],
        postgresql_where=_UNWRITTEN,
        sqlite_where=_UNWRITTEN,
    )


def downgrade() -> None:
    op.drop_index("sweepd_deletions_unwritten", "sweepd_deletions")
    with op.batch_alter_table("sweepd_deletions") as table:
        table.drop_column("audited")
    op.drop_index("sweepd_sweeps_unnoticed", "sweepd_sweeps")
    with op.batch_alter_table("sweepd_sweeps") as table:
        table.drop_column("noticed")
    for name in ("sweepd_outbox", "sweepd_announcements", "sweepd_alarms", "sweepd_notices"):
        op.drop_table(name)
