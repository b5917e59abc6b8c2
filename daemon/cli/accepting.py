"""``sweepd accept-database``: goes on with a database that has forgotten deletions, on a person's word."""

from __future__ import annotations

import getpass
from contextlib import ExitStack

from daemon.app.services import Services
from daemon.catalog.daemon_lock import DaemonLock
from daemon.cli.asking import ask
from daemon.cli.render import dump, say
from daemon.cli.streams import complain
from daemon.deletion.acceptance import accept
from daemon.errors import StartupRefused
from daemon.storage.locks import exclusive


def accept_database(services: Services, reason: str, *, yes: bool, as_json: bool) -> None:
    """Say what the database does not know, ask, and accept it. Raises SweepdError; StartupRefused beside a daemon."""
    root = services.root
    with ExitStack() as stack:
        lock = DaemonLock(services.catalog.database, services.catalog.root_id())
        stack.callback(lock.release)
        if not (stack.enter_context(exclusive(root, "daemon")) and lock.hold()):
            raise StartupRefused(f"a sweepd serves {root.path}, and remembers the database as it was: stop it first")
        with root.open() as opened:
            unknown = services.continuity.compare(opened)
        if unknown and not yes:
            complain(f"the database does not know what the storage root has seen: {unknown}")
            ask("Go on with it as it is, and lose what it has forgotten?")
        done = accept(root, services.tools, reason=reason, by=f"cli:{getpass.getuser()}")
    if as_json:
        dump(
            {
                "accepted": done is not None,
                "unknown": None if done is None else str(done.unknown),
                "quarantined": None if done is None else done.quarantined,
                "cancelled_jobs": 0 if done is None else done.jobs,
            }
        )
        return
    if done is None:
        say("the database knows everything that the storage root has seen; nothing was changed")
        return
    say(f"accepted the database without: {done.unknown}")
    if done.quarantined is not None:
        say(f"what waited in the trash and nobody knows any more is in .sweepd/quarantine/{done.quarantined}")
    if done.jobs:
        say(f"cancelled {done.jobs} job(s) that this database took for unfinished")
