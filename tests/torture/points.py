"""Which points there are, and what trying one of them means."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from torture import tracer
from torture.checks import CHECKS, TRACED, Lane, scenario
from torture.mutants import MUTANTS
from torture.scenarios import SCENARIOS, Scenario

ERRORS = ("EIO", "ENOSPC", "EACCES")
RARE_ERRORS = ("EROFS", "ESTALE")
RARELY = ("delete/records", "restore/records")
# First kills after which recovery itself is killed: so many of each operation, evenly spread.
FIRST_KILLS = 2


@dataclass(frozen=True)
class Point:
    """One thing to try: ``fault`` is a system call and its number, or a mutant; ``first`` an earlier kill."""

    database: str
    kind: str
    name: str
    fault: str = ""
    first: str = ""

    def __str__(self) -> str:
        return "|".join((self.database, self.kind, self.name, self.first, self.fault))

    @classmethod
    def parse(cls, text: str) -> Point:
        """The inverse of ``str``."""
        database, kind, name, first, fault = text.split("|")
        return cls(database, kind, name, fault, first)


@dataclass(frozen=True)
class Tried:
    """What came of it: ``problem`` is None if all was well. ``reached``: the fault did happen."""

    point: Point
    problem: str | None
    reached: bool = True


def all_points(lane: Lane, only: str | None = None) -> Iterator[Point]:
    """Everything there is to try on one database; makes one undisturbed run of each operation to count its calls.

    ``only``: of the operations this one alone.
    """
    traced = tracer.possible() is None
    for name in CHECKS:
        if traced or name not in TRACED:
            yield Point(lane.kind, "rule", name)
    for mutant in MUTANTS:
        for name, (_, mutants) in CHECKS.items():
            if mutant in mutants and (traced or name not in TRACED):
                yield Point(lane.kind, "mutant", name, fault=mutant)
    if not traced:
        return
    for one in SCENARIOS if only is None else [scenario(only)]:
        made = _calls(lane, one)
        kills = [f"{call}:{number}" for call, most in made for number in range(1, most + 1)]
        yield from (Point(lane.kind, "kill", one.name, fault=kill) for kill in kills)
        for call, most in made:
            if call in tracer.FILE_SYSTEM:
                for error in (*ERRORS, *(RARE_ERRORS if one.name in RARELY else ())):
                    for number in range(1, most + 1):
                        yield Point(lane.kind, error, one.name, fault=f"{call}:{number}")
        for first in kills[:: max(1, len(kills) // FIRST_KILLS)]:
            again = _recovery_calls(lane, one, first)
            for call, most in again:
                for number in range(1, most + 1):
                    yield Point(lane.kind, "second kill", one.name, fault=f"{call}:{number}", first=first)


def attempt(lane: Lane, point: Point) -> Tried:
    """Try it on a lane of its database."""
    try:
        if point.kind in ("rule", "mutant"):
            return _check(lane, point)
        reached = _fault(lane, point)
        return Tried(point, None, reached)
    except Exception:
        problem = traceback.format_exc(limit=-3)
        lane.clean()
        return Tried(point, problem)


def _check(lane: Lane, point: Point) -> Tried:
    check = CHECKS[point.name][0]
    if point.kind == "rule":
        check(lane, None)
        return Tried(point, None)
    if lane.server_port is None and point.name.startswith("a COMMIT"):
        return Tried(point, None, reached=False)  # there is no connection to lose
    try:
        check(lane, point.fault)
    except AssertionError as caught:
        if "the process ended with exit status" in str(caught):
            raise
        return Tried(point, None)
    finally:
        lane.clean()
    return Tried(point, f"the mutant `{point.fault}` was not caught")


def _fault(lane: Lane, point: Point) -> bool:
    """Prepare, disturb, recover, judge; whether the fault happened."""
    one = scenario(point.name)
    tasks = one.prepare(lane.site)
    names = [task.task_id for task in tasks]
    killed = _run(lane, one, names, point.first or point.fault, "kill" if point.first else point.kind)
    if point.first:
        killed = _disturb(lane, "recover", [], point.fault, "kill")
    lane.site.recovery.run()
    together = point.kind in ("kill", "second kill")
    (one if together else _apart(one)).judge(lane.site, tasks)
    one.clear(lane.site)
    return killed


def _apart(one: Scenario) -> Scenario:
    """With an error in one place the tasks of a group may fare differently."""
    return Scenario(one.name, one.work, one.fates, one.tasks, one.files, one.rows, one.before, together=False)


def _run(lane: Lane, one: Scenario, names: list[str], fault: str, kind: str) -> bool:
    return _disturb(lane, one.work, names, fault, kind)


def _disturb(lane: Lane, work: str, names: list[str], fault: str, kind: str) -> bool:
    call, _, number = fault.rpartition(":")
    action = "signal=KILL" if kind == "kill" else f"error={kind}"
    inject = f"{call}:{action}:when={number}"
    ended = tracer.run(
        lane.server, inject, "torture.operations:operate", **lane.where, work=work, task_ids=names, mutant=None
    )
    return kind != "kill" or ended.killed_by is not None


def _calls(lane: Lane, one: Scenario) -> list[tuple[str, int]]:
    tasks = one.prepare(lane.site)
    names = [task.task_id for task in tasks]
    lines = tracer.calls(
        lane.server, "torture.operations:operate", **lane.where, work=one.work, task_ids=names, mutant=None
    )
    lane.site.recovery.run()
    one.judge(lane.site, tasks)
    one.clear(lane.site)
    return _limited(lines)


def _recovery_calls(lane: Lane, one: Scenario, first: str) -> list[tuple[str, int]]:
    tasks = one.prepare(lane.site)
    _disturb(lane, one.work, [task.task_id for task in tasks], first, "kill")
    lines = tracer.calls(
        lane.server, "torture.operations:operate", **lane.where, work="recover", task_ids=[], mutant=None
    )
    one.judge(lane.site, tasks)
    one.clear(lane.site)
    return _limited(lines)


def _limited(lines: list[str]) -> list[tuple[str, int]]:
    """Every call and how often; the many unlinks of a large directory are alike, and 40 of a kind are enough."""
    return [(call, min(number, 40)) for call, number in sorted(tracer.counted(lines).items())]
