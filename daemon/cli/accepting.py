"""``sweepd accept-database`` and ``accept-clock``: what sweepd does not believe is believed on a person's word."""

from __future__ import annotations

from contextlib import ExitStack

from daemon import clock
from daemon.app.services import Services
from daemon.catalog.daemon_lock import DaemonLock
from daemon.cli.asking import ask
from daemon.cli.initiator import initiator
from daemon.cli.render import dump, say
from daemon.cli.streams import complain
from daemon.deletion.acceptance import accept
from daemon.errors import ErrorCode, StartupRefused, SweepRefused
from daemon.moments import for_people
from daemon.storage.locks import exclusive


def accept_database(services: Services, reason: str, *, yes: bool, as_json: bool) -> None:
    """Say what the database does not know, ask, and accept it. Raises SweepdError; StartupRefused beside a daemon."""
    root = services.root
    with ExitStack() as stack:
        lock = DaemonLock(services.catalog.database, services.catalog.root_id())
        stack.callback(lock.release)
        if not (stack.enter_context(exclusive(root, "daemon", signs=True)) and lock.hold()):
            raise StartupRefused(f"a sweepd serves {root.path}, and remembers the database as it was: stop it first")
        with root.open() as opened:
            unknown = services.continuity.compare(opened)
        if unknown and not yes:
            complain(f"the database does not know what the storage root has seen: {unknown}")
            ask("Go on with it as it is, and lose what it has forgotten?")
        done = accept(root, services.tools, reason=reason, by=initiator())
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


def accept_clock(services: Services, *, yes: bool, as_json: bool) -> None:
    """Say what is the matter with this machine's clock, ask, and believe it from now on.

    Raises SweepdError; SweepRefused (CLOCK_UNRELIABLE) if the database's clock says otherwise.
    """
    guard, now = services.clock_guard, clock.now()
    problem = guard.problem()
    if problem is not None and not yes:
        complain(problem)
        ask(f"Is it {for_people(now, seconds=True)} now? Policies then delete by this clock.")
    try:
        accepted = guard.accept()
    except ValueError as error:
        raise SweepRefused(str(error), code=ErrorCode.CLOCK_UNRELIABLE) from error
    if as_json:
        dump({"accepted": accepted is not None, "problem": accepted})
    elif accepted is None:
        say("the clock of this machine is believed already; nothing was changed")
    else:
        say(f"believes the clock of this machine from now on: {for_people(clock.now(), seconds=True)}")
