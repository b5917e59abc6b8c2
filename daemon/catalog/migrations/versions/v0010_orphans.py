"""Since when scans have met a directory without a row, and how often: the age of an orphan is not the directory's."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("sweepd_inventory", sa.Column("orphan_since", UtcDateTime))
    op.add_column("sweepd_inventory", sa.Column("orphan_sightings", sa.Integer, nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("sweepd_inventory", "orphan_sightings")
    op.drop_column("sweepd_inventory", "orphan_since")
