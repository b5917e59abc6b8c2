"""``sweepd init``: makes the database and the storage root ready, and ties them to each other."""

from __future__ import annotations

import errno
import uuid
from pathlib import Path

from daemon import clock
from daemon.catalog import guest_indexes, setup
from daemon.catalog.catalog import Catalog
from daemon.catalog.database import Database
from daemon.config import Config
from daemon.deletion.continuity import Continuity, Unknown
from daemon.errors import CatalogUnavailable, StartupRefused
from daemon.metrics.registry import Metrics
from daemon.storage import root, upkeep
from daemon.storage.marks import BelievedTime


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
        database.check_sessions()
        setup.look_at_pipeline(database)
        revision = setup.migrate(database)
        if revision is not None:
            done.append(f"sweepd's tables are at schema {revision} in {database.name}")
        done.extend(f"added the column {name} to the pipeline's tasks" for name in setup.adopt_pipeline(database))
        done.extend(f"added the index {name} to the pipeline's tables" for name in guest_indexes.add_indexes(database))
        path = config.storage.root
        with database.read() as connection:
            known = setup.registered_root(connection)
            unmarked = setup.unmarked_root(connection)
        marked = root.read_identity(path)
        if known is not None and marked is None and unmarked is None and not replace_root:
            raise StartupRefused(
                f"{path} is not marked, but this catalog belongs to a storage root ({known}): is the file system "
                "mounted? if that root is gone for good, run: sweepd init --replace-root"
            )
        adopted = unmarked if marked is None and not replace_root else None
        if adopted is not None:  # that folder, and no other one
            with root.StorageRoot(path, lambda: str(known), lambda: adopted).open():
                pass
        try:
            root_id = root.mark(path, known if adopted is not None else None)
            unmarked = None
        except root.NoRoom as full:
            root_id, unmarked = str(known if adopted is not None else uuid.uuid4()), full.fingerprint
        if marked is None and unmarked is None:
            done.append(f"marked {path} as a storage root")
        elif unmarked != adopted:
            done.append(
                f"{path} is full: sweepd knows it by its inode until the first deletion has made room for a marker"
            )
        if setup.register_root(database, root_id, str(path), replace=replace_root, unmarked=unmarked):
            done.append(f"the catalog now belongs to storage root {root_id}")
        storage = root.StorageRoot(path, lambda: root_id, lambda: unmarked)
        with storage.open() as opened:
            upkeep.keep_ready(opened)
        _believe_clock(storage)
        forgotten = _forgotten(config, root_id, unmarked)
        if forgotten:
            done.append(
                f"{database.name} does not know what {path} has seen ({forgotten}): sweepd deletes nothing until it is "
                "accepted; see docs/operations.md, then: sweepd accept-database"
            )
    finally:
        database.close()
    return done


def _forgotten(config: Config, root_id: str, unmarked: str | None) -> Unknown:
    catalog = Catalog(
        config.catalog.url.get_secret_value(),
        timezone=config.catalog.timezone,
        running_statuses=tuple(config.catalog.running_statuses),
    )
    try:
        with root.StorageRoot(config.storage.root, lambda: root_id, lambda: unmarked).open() as opened:
            return Continuity(catalog, Metrics()).compare(opened)
    finally:
        catalog.close()


def _believe_clock(marked: root.StorageRoot) -> None:
    """Let the clock be compared from now on, if it never was."""
    memory = BelievedTime(marked)
    if memory.read() is None:
        memory.write(clock.moment())


def _create_file(path: Path, done: list[str]) -> None:
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        hint = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "; give it a place on another file system with catalog.url, or make some room there"
        raise CatalogUnavailable(f"cannot create the database {path}: {error.strerror}{hint}") from error
    done.append(f"created the database {path}")
