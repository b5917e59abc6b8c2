"""Add the failures of single tasks, and to each announcement what it announced."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "sweepd_task_failures",
        sa.Column("policy", sa.String(64), primary_key=True),
        sa.Column("task_id", sa.Text, primary_key=True),
        sa.Column("meaning", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("code", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("first_at", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
        sa.Column("next_at", UtcDateTime, nullable=False),
    )
    op.add_column("sweepd_announcements", sa.Column("action", sa.String(64)))


def downgrade() -> None:
    op.drop_column("sweepd_announcements", "action")
    op.drop_table("sweepd_task_failures")
