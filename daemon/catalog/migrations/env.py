"""Alembic's entry point; ``setup.migrate`` hands it a connection that already is in a transaction."""

from alembic import context

from daemon.catalog.setup import VERSION_TABLE
from daemon.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
