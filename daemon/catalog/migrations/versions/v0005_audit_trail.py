"""Where a deletion was asked for, why, and by which plan; indexes for the lists."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0003"

_SWEPT = sa.text("sweep_id IS NOT NULL")
_COUNTED = sa.text("size_bytes IS NOT NULL")
_COLUMNS = {"client": sa.Text(), "request_id": sa.String(64), "plan_digest": sa.String(64), "reason": sa.Text()}


def upgrade() -> None:
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sweepd_deletions")}
    with op.batch_alter_table("sweepd_deletions") as table:
        for name, kind in _COLUMNS.items():
            if name not in present:
                table.add_column(sa.Column(name, kind))
    op.create_index(
        "sweepd_deletions_sweep_id", "sweepd_deletions", ["sweep_id"], postgresql_where=_SWEPT, sqlite_where=_SWEPT
    )
    op.create_index(
        "sweepd_inventory_size",
        "sweepd_inventory",
        ["size_bytes", "task_id"],
        postgresql_where=_COUNTED,
        sqlite_where=_COUNTED,
    )


def downgrade() -> None:
    op.drop_index("sweepd_inventory_size", "sweepd_inventory")
    op.drop_index("sweepd_deletions_sweep_id", "sweepd_deletions")
    with op.batch_alter_table("sweepd_deletions") as table:
        for name in reversed(_COLUMNS):
            table.drop_column(name)
