"""Deletions in place, and a storage root without room for its marker: which directory each is."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("sweepd_deletions", sa.Column("in_place", sa.Text))
    op.add_column("sweepd_roots", sa.Column("unmarked", sa.Text))


def downgrade() -> None:
    op.drop_column("sweepd_roots", "unmarked")
    op.drop_column("sweepd_deletions", "in_place")
