"""``sweepd --server URL plan`` and ``explain``: from the documents that the API answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from daemon.cli.remote.server import Server
from daemon.cli.render import dump, say, say_message, table
from daemon.client import Client
from daemon.moments import for_machines, for_people, in_local_time

_FIRST: Final = 20
_EXAMPLES: Final = 10
_MOST: Final = 1000  # what the API lists
_HOLDS: Final = {True: "yes", False: "no", None: "unknown"}
_WHEN: Final = {"now": "now", "never": "not by time", "unknown": "unknown"}


def show_plans(
    server: Server, policy: str | None, *, everything: bool, at: str | None, save: bool, as_json: bool
) -> None:
    """Print the plan of one policy or of all that are not disabled; with ``save`` keep them."""
    instant = _instant(at)
    with server.client() as client:
        names = [policy] if policy is not None else _enabled(client)
        plans = []
        for name in names:
            stored = client.store_plan(name) if save else None
            plan = client.plan(name, at=instant, limit=_MOST if everything or as_json else _FIRST)
            plans.append({**plan, "stored": stored["digest"]} if stored else plan)
    if as_json:
        dump({"plans": plans})
        return
    for plan in plans:
        _show(plan, everything=everything)
        if "stored" in plan:
            apply = f"sweep {plan['policy']} --plan {plan['stored'][:12]}"
            say(f"stored; delete exactly this: {server.command(apply)}")
    if not plans:
        say("the daemon has no policies")


def show_explanation(server: Server, task_id: str, *, at: str | None, as_json: bool) -> None:
    """Print what every policy says of the task."""
    with server.client() as client:
        found = client.explain(task_id, at=_instant(at))
    if as_json:
        dump(found)
        return
    task = found["task"]
    say(f"task {task_id}: {'status ' + task['status'] if task else 'no row'}", style="bold")
    say(f"as of {for_people(found['now'], seconds=True)}", style="dim")
    for hold in found["holds"]:
        say(f"held by {hold['owner']}: {hold['reason']}")
    for name in found["protections"]:
        say(f"protected by {name}")
    for answer in found["policies"]:
        _show_answer(answer)


def _instant(at: str | None) -> str | None:
    """The instant that a date of this terminal means, whatever the zone of the daemon."""
    if at is None:
        return None
    from daemon.cli.dates import read_instant

    return for_machines(read_instant(at, "--at"))


def _enabled(client: Client) -> list[str]:
    return [one["name"] for one in client.policies()["policies"] if one["mode"] != "disabled"]


def _show(plan: Mapping[str, Any], *, everything: bool) -> None:
    goes, stays = plan["goes"], plan["stays"]
    retain = f", after {plan['retain']} in the trash" if plan["retain"] else ""
    say()
    say(f"policy {plan['policy']} (mode {plan['mode']}): deletes {plan['action'].replace('_', ' ')}{retain}", "bold")
    say(f"as of {for_people(plan['now'], seconds=True)}; digest {plan['digest'][:12]}", style="dim")
    for line in _quota(plan["quota"]) if plan.get("quota") else ():
        say(line)
    say(f"{plan['selected']} of {plan['considered']} tasks go; {plan['considered'] - plan['selected']} stay")
    shown = goes if everything else goes[:_FIRST]
    if shown:
        rows = [(one["task_id"], one["status"] or "-", in_local_time(one["reason"])) for one in shown]
        table(("goes", "status", "because"), rows)
        _more(plan["selected"] - len(shown), everything=everything)
    shown = stays if everything else stays[:_EXAMPLES]
    if shown:
        kept = [
            (one["task_id"], one["status"] or "-", _eligible(one["eligible"]), in_local_time(one["reason"]))
            for one in shown
        ]
        table(("stays", "status", "until", "because"), kept)
        _more(plan["considered"] - plan["selected"] - len(shown), everything=everything)


def _quota(found: Mapping[str, Any]) -> Iterator[str]:
    """How full it is, and as far as the daemon says it, what a sweep would do now."""
    from daemon.cli.fullness import readings_in_words
    from daemon.policy.quota import Quota
    from daemon.sweep.quota import Reading

    quota = Quota.model_validate({name: found[name] for name in ("of", "measure", "high", "low")})
    readings = [Reading(**one) for one in found["readings"]]
    yield from readings_in_words(quota, readings)
    if any(reading.used >= reading.high for reading in readings):
        yield f"a sweep in mode enforce would now purge the trash and delete the first of these, until {quota.low.text}"


def _show_answer(answer: Mapping[str, Any]) -> None:
    decision = answer["decision"]
    say()
    say(f"policy {answer['policy']} (mode {answer['mode']})", style="bold")
    if decision is None:
        say(f"does not look at it: {answer['not_looked_at']}")
        return
    say_message(
        f"{'goes' if decision['verdict'] == 'selected' else 'stays'} ({decision['verdict']}): {decision['reason']}"
    )
    if decision["eligible"] is not None:
        why = decision["eligible"]["why"]
        say(f"could go at the earliest: {why or _eligible(decision['eligible'])}")
    rows = [(one["path"], one["required"], one["actual"], _HOLDS[one["holds"]]) for one in decision["clauses"]]
    if rows:
        table(("clause", "requires", "has", "holds"), rows)


def _eligible(eligible: Mapping[str, Any] | None) -> str:
    if eligible is None:
        return "-"
    at = eligible["at"]
    return for_people(at) if at else _WHEN.get(eligible["when"], "-")


def _more(count: int, *, everything: bool) -> None:
    if count > 0:
        here = f"--all shows up to {_MOST}"
        there = "the API lists no more: sweepd plan --all without --server, on the daemon's machine, lists all"
        say(f"… and {count} more ({there if everything else here})", style="dim")
