"""What hinders sweeps: a database of another storage root, tasks that cannot go, unheard announcements."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.app.services import Services
from daemon.catalog import task_failures
from daemon.doctor.findings import Finding, failure, ok, skipped, warning
from daemon.errors import DocumentError, SweepdError
from daemon.notify.announcing import announces
from daemon.policy.models import PolicySet
from daemon.storage import faults
from daemon.sweep import guards
from daemon.sweep import pairing as pairs

_NAMED = 3


def pairing(services: Services) -> Iterator[Finding]:
    """Whether rows have their directories, and directories their rows."""
    try:
        found = pairs.mismatch(services.catalog, services.root, thorough=True)
    except (SweepdError, OSError):
        yield skipped("pairing", "database and storage root have to be there to be compared")
        return
    if found is None:
        yield ok("pairing", "database and storage root belong together")
    else:
        yield failure("pairing", f"{found}: no policy deletes anything", guards.APART.partition("; see ")[2])


def failing(services: Services) -> Iterator[Finding]:
    """Which tasks each policy could not delete so far."""
    policies = _policies(services)
    if policies is None:
        return
    try:
        with services.catalog.read() as session:
            found = {policy.name: task_failures.find(session.connection, policy) for policy in policies.policies}
    except SweepdError:
        yield skipped("tasks", "the database has to be there to see which tasks fail")
        return
    for name, failures in found.items():
        for one in list(failures.values())[:_NAMED]:
            times = "once" if one.times == 1 else f"{one.times} times"
            said = f"{faults.printable(one.task_id)} failed {times} in policy {name}: {faults.printable(one.reason)}"
            hint = f"remove the cause, or place a hold on the task; try it again at once: sweepd sweep {name} --retry"
            yield warning("tasks", said, hint)
        if len(failures) > _NAMED:
            hint = f"sweepd plan {name} --all says which, and why"
            yield warning("tasks", f"{len(failures) - _NAMED} more tasks fail in policy {name}", hint)
    if not any(found.values()):
        yield ok("tasks", "none has failed to be deleted")


def announcing(services: Services) -> Iterator[Finding]:
    """Whether anybody hears what the policies announce."""
    policies = _policies(services)
    telling = [policy.name for policy in policies.policies if policy.notice is not None] if policies else []
    if telling and not announces(services.config.notifications):
        yield warning(
            "announcements",
            f"no webhook is told what {', '.join(telling)} announces: only the log and sweepd plan say it",
            "add a webhook with events: [announcements] to notifications, or remove notify from the policy",
        )


def _policies(services: Services) -> PolicySet | None:
    try:
        return services.load_policies()
    except DocumentError:  # told elsewhere
        return None
