"""Room beside the inventory's rows: every scan writes each of them anew, and in the same page that is half the work."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE sweepd_inventory SET (fillfactor = 50)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE sweepd_inventory RESET (fillfactor)")
