"""By which schedule a policy runs, and since when: a run is overdue only if the policy could have run then."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from daemon.catalog.tables import UtcDateTime

revision = "0009"
down_revision = "0008"

_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {"scheduled_as": sa.String(64), "scheduled_at": UtcDateTime()}


def upgrade() -> None:
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("sweepd_policies")}
    with op.batch_alter_table("sweepd_policies") as table:
        for name, kind in _COLUMNS.items():
            if name not in present:
                table.add_column(sa.Column(name, kind))


def downgrade() -> None:
    with op.batch_alter_table("sweepd_policies") as table:
        for name in reversed(_COLUMNS):
            table.drop_column(name)
