"""Deletions that wait in the trash, and the rows they can be restored from."""

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0002"
down_revision = "0001"

_OPEN = sa.text("state = 'committed'")


def upgrade() -> None:
    with op.batch_alter_table("sweepd_deletions") as table:
        table.add_column(sa.Column("purge_after", UtcDateTime))
        table.add_column(sa.Column("restored_by", sa.Text))
        table.drop_constraint("sweepd_deletions_state", type_="check")
        table.create_check_constraint(
            "sweepd_deletions_state", "state IN ('committed', 'purged', 'aborted', 'restored')"
        )
    op.create_index(
        "sweepd_deletions_open",
        "sweepd_deletions",
        ["purge_after", "deletion_id"],
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_table(
        "sweepd_snapshots",
        sa.Column("deletion_id", sa.String(28), primary_key=True),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("steps", sa.Text),
    )


def downgrade() -> None:
    op.drop_table("sweepd_snapshots")
    op.drop_index("sweepd_deletions_open", "sweepd_deletions")
    op.execute("UPDATE sweepd_deletions SET state = 'aborted' WHERE state = 'restored'")
    with op.batch_alter_table("sweepd_deletions") as table:
        table.drop_constraint("sweepd_deletions_state", type_="check")
        table.create_check_constraint("sweepd_deletions_state", "state IN ('committed', 'purged', 'aborted')")
        table.drop_column("restored_by")
        table.drop_column("purge_after")
