"""``sweepd init``: makes the database and the storage root ready, and ties them to each other."""

from __future__ import annotations

from pathlib import Path

from daemon.catalog import guest_indexes, setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.database import Database
from daemon.config import Config
from daemon.deletion.continuity import Continuity, Unknown
from daemon.errors import CatalogUnavailable, StartupRefused
from daemon.metrics.registry import Metrics
from daemon.storage import root, upkeep


def initialise(config: Config, *, replace_root: bool = False) -> list[str]:
    """Do what is missing, and say each thing that was done; nothing if all was ready. Idempotent.

    Raises CatalogUnavailable, CatalogNotReady, RootUnavailable or StartupRefused, each saying what to do.
    The database comes first: a root is marked only when there is a catalog to know it.
    """
    done: list[str] = []
    database = Database(config.catalog.url.get_secret_value())
    try:
        if database.is_sqlite:
            _create_file(Path(database.url.database or ""), done)
        revision = setup.migrate(database)
        if revision is not None:
            done.append(f"sweepd's tables are at schema {revision} in {database.name}")
        done.extend(f"added the column {name} to the pipeline's tasks" for name in setup.adopt_pipeline(database))
        done.extend(f"added the index {name} to the pipeline's tables" for name in guest_indexes.add_indexes(database))
        path = config.storage.root
        with database.read() as connection:
            known = setup.registered_root(connection)
        marked = root.read_identity(path)
        if known is not None and marked is None and not replace_root:
            raise StartupRefused(
                f"{path} is not marked, but this catalog belongs to a storage root ({known}): is the file system "
                "mounted? if that root is gone for good, run: sweepd init --replace-root"
            )
        root_id = root.mark(path)
        if marked is None:
            done.append(f"marked {path} as a storage root")
        if setup.register_root(database, root_id, str(path), replace=replace_root):
            done.append(f"the catalog now belongs to storage root {root_id}")
        with root.StorageRoot(path, lambda: root_id).open() as opened:
            upkeep.keep_ready(opened)
        forgotten = _forgotten(config, root_id)
        if forgotten:
            done.append(
                f"{database.name} does not know what {path} has seen ({forgotten}): sweepd deletes nothing until it is "
                "accepted; see docs/operations.md, then: sweepd accept-database"
            )
    finally:
        database.close()
    return done


def _forgotten(config: Config, root_id: str) -> Unknown:
    catalog = Catalog(
        config.catalog.url.get_secret_value(),
        timezone=config.catalog.timezone,
        running_statuses=tuple(config.catalog.running_statuses),
    )
    try:
        with root.StorageRoot(config.storage.root, lambda: root_id).open() as opened:
            return Continuity(catalog, Metrics()).compare(opened)
    finally:
        catalog.close()


def _create_file(path: Path, done: list[str]) -> None:
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise CatalogUnavailable(f"cannot create the database {path}: {error.strerror}") from error
    done.append(f"created the database {path}")
