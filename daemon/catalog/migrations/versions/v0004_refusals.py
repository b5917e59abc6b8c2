"""Requests that were refused: no token, one that does not do, a foreign host or page."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "sweepd_refusals",
        sa.Column("minute", UtcDateTime, primary_key=True),
        sa.Column("address", sa.String(64), primary_key=True),
        sa.Column("error_code", sa.String(32), primary_key=True),
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("first_at", UtcDateTime, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("path", sa.String(256), nullable=False),
        sa.Column("request_id", sa.String(32), nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_index("sweepd_refusals_last_at", "sweepd_refusals", ["last_at"])


def downgrade() -> None:
    op.drop_table("sweepd_refusals")
