"""``sweepd plan``: what would go, how much it frees, why, and why the rest stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import tzinfo
from typing import Any

from daemon.app.services import Services
from daemon.catalog import inventory, scans
from daemon.catalog.catalog import Catalog
from daemon.catalog.scans import Drift
from daemon.cli.dates import read_instant
from daemon.cli.fullness import forecast_in_words, measure_space, space_in_words, space_json
from daemon.cli.initiator import initiator
from daemon.cli.render import UNLESS, dump, say, table
from daemon.errors import RootUnavailable
from daemon.moments import for_machines, for_people, in_local_time
from daemon.policy.models import Mode, Policy, PolicySet
from daemon.policy.values import format_duration
from daemon.sizes import format_size
from daemon.storage import faults
from daemon.storage.census import Census
from daemon.storage.root import StorageRoot
from daemon.sweep import documents, stored
from daemon.sweep.eligibility import Eligibility, When
from daemon.sweep.limits import breaches
from daemon.sweep.orphans import find_orphans
from daemon.sweep.plan import Decision, Plan, make_plan
from daemon.sweep.quota import Forecast

FIRST = 20
EXAMPLES = 10
MEASURED_NOW = 1000


def show_plans(
    services: Services,
    name: str | None,
    *,
    everything: bool,
    sizes: bool,
    as_json: bool,
    at: str | None = None,
    save: bool = False,
) -> None:
    """Plan one policy or all, as of ``at`` (ISO 8601) or now, and print it; with ``save`` keep it. Raises SweepdError.

    Raises typer.BadParameter for a date that is none.
    """
    policies = services.load_policies()
    chosen = [policies.get(name)] if name is not None else [p for p in policies.policies if p.mode is not Mode.DISABLED]
    if not chosen and not as_json:
        say(f"there are no policies in {services.config.policies}")
    space = measure_space(services)
    if not as_json:
        say(space_in_words(services, space))
    zone = pipeline_zone(services)
    instant = None if at is None else read_instant(at, "--at")
    shown = []
    for policy in chosen:
        most = None if everything or as_json else 2000
        plan = make_plan(services.catalog, policies, policy, max_stays=most, at=instant)
        digest = stored.save(services.catalog, plan, initiator()) if save else None
        unknown: dict[str, str] = {}
        censuses = measure(services.root, services.catalog, plan, unknown) if sizes else {}
        now = sizes and instant is None and policy.quota is not None
        forecast = services.sweeper.forecast(policies, plan) if now else None
        if as_json:
            found = plan_json(plan, censuses, zone, unknown) | {"saved": save}
            shown.append(
                found | {"quota": None if forecast is None else documents.forecast_document(plan.policy, forecast)}
            )
        else:
            show_plan(plan, censuses, everything=everything, unknown=unknown, forecast=forecast)
            if digest is not None:
                say(f"saved as plan {digest}")
                say(f"apply exactly this: sweepd sweep {policy.name} --plan {digest[:12]}")
    orphans = find_orphans(services.root, services.catalog)
    with services.catalog.read() as session:
        unnamed = scans.differing(session.connection, session.tables, services.catalog.timeline)[Drift.UNNAMED]
    if as_json:
        dump({"plans": shown, "orphans": orphans, "unnamed": unnamed, "filesystem": space_json(space)})
    else:
        show_orphans(orphans, policies)
        if unnamed:
            say(f"rows whose task id is none: {unnamed}; no policy looks at them (sweepd inventory lists them)")


def pipeline_zone(services: Services) -> tzinfo:
    """The zone the pipeline writes in. Raises CatalogUnavailable or CatalogNotReady."""
    with services.catalog.read() as session:
        return session.zone


def measure(
    root: StorageRoot, catalog: Catalog, plan: Plan, unknown: dict[str, str] | None = None
) -> dict[str, Census | None]:
    """The counts of the directories that would go, as a scan found them, or else taken now; None for one not there.

    Of what no scan has counted, at most MEASURED_NOW are counted; the others are left out. ``unknown`` takes why one
    cannot be counted. Raises SweepdError.
    """
    if plan.policy.action.what == "records":
        return {}
    task_ids = [decision.task.task_id for decision in plan.goes]
    with catalog.read() as session:
        known = inventory.measured(session.connection, task_ids)
    counts = {name: (one.files, one.directories, one.size_bytes, one.freed_bytes) for name, one in known.items()}
    found: dict[str, Census | None] = {name: Census(*numbers) for name, numbers in counts.items()}
    with root.open() as opened:
        for task_id in [task_id for task_id in task_ids if task_id not in known][:MEASURED_NOW]:
            try:
                found[task_id] = opened.measure(task_id)
            except OSError as error:
                fault = faults.explain(error, task_id, "counting its files")
                if isinstance(fault, RootUnavailable):
                    raise fault from error
                if unknown is not None:
                    unknown[task_id] = str(fault)
    return found


def show_plan(
    plan: Plan,
    censuses: dict[str, Census | None],
    *,
    everything: bool = False,
    unknown: Mapping[str, str] | None = None,
    forecast: Forecast | None = None,
) -> None:
    """Print one plan; ``forecast``: what its quota says now."""
    policy = plan.policy
    total = sum(census.freed_bytes for census in censuses.values() if census)
    uncounted = len(plan.goes) - len(censuses) if censuses else 0
    more = f" and what {uncounted} more hold, which no scan has counted" if uncounted else ""
    frees = f", freeing {format_size(total)}{more}" if censuses else ""
    say()
    say(f"policy {policy.name} (mode {policy.mode}): {what(policy)}", style="bold")
    say(f"as of {for_people(plan.now.utc, seconds=True)}", style="dim")
    for line in () if forecast is None else forecast_in_words(policy, forecast):
        say(line)
    say(f"{len(plan.goes)} of {plan.considered} tasks go{frees}; {plan.considered - len(plan.goes)} stay")
    for caveat in _caveats(plan, censuses, forecast):
        say(caveat, style="yellow")
    if plan.goes:
        shown = plan.goes if everything else plan.goes[:FIRST]
        why = unknown or {}
        rows = [_row(one, censuses.get(one.task.task_id), why.get(one.task.task_id)) for one in shown]
        table(("goes", "status", "size", "because"), rows, right=frozenset({"size"}))
        _more(len(plan.goes) - len(shown))
    if plan.stays:
        examples = plan.stays if everything else _varied(plan.stays)
        rows = [
            (d.task.task_id, d.task.status or "-", eligible_in_words(d.eligible), in_local_time(d.reason))
            for d in examples
        ]
        table(("stays", "status", "until", "because"), rows)
        _more(plan.considered - len(plan.goes) - len(examples))


def _caveats(plan: Plan, censuses: Mapping[str, Census | None], forecast: Forecast | None) -> Iterator[str]:
    """What these free, when, and why a sweep takes fewer of them now."""
    retain, none = plan.policy.action.retain, _without_directory(plan, censuses)
    if none:
        yield f"{none} of those that go have no directory: they free no disk space"
    if retain is not None and plan.goes:
        yield (
            f"the sweep itself frees nothing: what goes waits {format_duration(retain)} in the trash, and its space "
            f"comes when that is purged, {for_people(plan.now.utc + retain)} if it went now, {UNLESS}"
        )
    quota, limits = plan.policy.quota, plan.policy.limits
    if quota is not None and forecast is None:
        yield (
            f"quota: a sweep takes the first of these, and only when {quota.of} ({quota.measure}) is at "
            f"{quota.high.text} or above, until it is at {quota.low.text}; what waits in the trash goes before them"
        )
    sizes = [one.size_bytes if (one := censuses.get(decision.task.task_id)) else None for decision in plan.goes]
    found = [] if limits is None else breaches(limits, sizes, plan.considered, None)
    if limits is not None and found and quota is None and (limits.max_bytes is None or censuses):
        most = min(breach.most for breach in found)
        goes = f"takes the first {most}" if limits.on_exceed == "truncate" and most else "is blocked, and takes none"
        yield f"limits: {'; '.join(breach.message for breach in found)}: a sweep {goes}"


def show_orphans(orphans: Sequence[str], policies: PolicySet) -> None:
    """Print which directories have no row, and which policies look at them."""
    if orphans:
        say()
        few = ", ".join(orphans[:3]) + (", …" if len(orphans) > 3 else "")
        look = [p.name for p in policies.policies if p.source == "orphans" and p.mode is not Mode.DISABLED]
        what_of_them = f"looked at by {', '.join(look)}" if look else "no policy looks at them, so they stay"
        rest = "; sweepd inventory --scan --all lists them" if len(orphans) > 3 else ""
        say(f"directories without a row: {len(orphans)} ({few}); {what_of_them}{rest}")


def what(policy: Policy) -> str:
    """What the policy deletes, in words."""
    retain = policy.action.retain
    return _goes(policy) + ("" if retain is None else f", after {format_duration(retain)} in the trash")


def _goes(policy: Policy) -> str:
    if policy.source == "orphans":
        return "deletes directories without a row"
    match policy.action.what:
        case "directory":
            return "deletes directories, keeps their records"
        case "directory_and_records":
            return "deletes directories and their records"
        case "records":
            return "deletes the records of tasks whose directory is gone"


def eligible_in_words(eligible: Eligibility | None) -> str:
    """When a task that stays could go, short enough for a table."""
    if eligible is None:
        return "-"
    if eligible.at is not None:
        return for_people(eligible.at)
    return {When.NOW: "now", When.NEVER: "not by time", When.UNKNOWN: "unknown"}.get(eligible.when, "-")


def plan_json(
    plan: Plan, censuses: dict[str, Census | None], zone: tzinfo, unknown: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One plan as ``--json`` prints it: as the API answers it, with the census of what would go."""
    document = documents.plan_document(plan, zone)
    retain = plan.policy.action.retain
    document["without_directory"] = _without_directory(plan, censuses)
    document["space_at"] = None if retain is None else for_machines(plan.now.utc + retain)
    for entry in document["goes"]:
        census = censuses.get(entry["task_id"])
        entry["census"] = asdict(census) if census else None
        if unknown and entry["task_id"] in unknown:
            entry["census_error"] = unknown[entry["task_id"]]
    return document


def _without_directory(plan: Plan, censuses: Mapping[str, Census | None]) -> int:
    """How many of the tasks that go have no directory, by their rows or as far as it was looked for."""
    ids = [decision.task.task_id for decision in plan.goes if decision.task.directory_exists]
    return len(plan.goes) - sum(censuses.get(task_id, True) is not None for task_id in ids)


def _row(decision: Decision, census: Census | None, unknown: str | None) -> tuple[str, str, str, str]:
    size = format_size(census.size_bytes) if census else "unknown" if unknown else "-"
    why = in_local_time(f"{decision.reason}; its size is unknown: {unknown}" if unknown else decision.reason)
    return decision.task.task_id, decision.task.status or "-", size, why


def _varied(stays: Sequence[Decision]) -> list[Decision]:
    """A few examples of every verdict, rather than the first ones of one."""
    chosen: dict[str, list[Decision]] = {}
    for decision in stays:
        examples = chosen.setdefault(decision.verdict, [])
        if len(examples) < max(1, EXAMPLES // 4):
            examples.append(decision)
    return [decision for examples in chosen.values() for decision in examples]


def _more(count: int) -> None:
    if count > 0:
        say(f"… and {count} more (--all shows them)", style="dim")
