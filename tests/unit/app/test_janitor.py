"""What the janitor does not do while the clocks are not to be believed."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from daemon.app.janitor import Janitor


def test_nothing_expires_by_a_clock_that_has_jumped_since_the_last_look() -> None:
    done: list[str] = []
    problem: list[str | None] = [None]

    def note(what: str) -> Any:
        return lambda *_: done.append(what)

    services: Any = SimpleNamespace(
        retention=SimpleNamespace(
            purge_expired=note("expired"), count_waiting=note("counted"), report=note("reported")
        ),
        holds=SimpleNamespace(report=note("holds")),
        clock_guard=SimpleNamespace(problem=lambda: problem[0]),
    )
    janitor = Janitor(services, lambda: services, may_work=lambda: True, may_expire=lambda: True)
    problem[0] = "the clock of this machine jumped by 2h"
    janitor._expire()
    assert done == ["counted", "reported", "holds"]
    problem[0] = None
    janitor._expire()
    assert done[3:] == ["expired", "counted", "reported", "holds"]


def test_nothing_is_forgotten_by_a_clock_that_has_jumped() -> None:
    """Not the results of jobs, nor the keys of requests: a late retry would delete again."""

    def wrong(*_: object) -> Any:
        raise AssertionError("nothing is to be forgotten")

    services: Any = SimpleNamespace(
        catalog=SimpleNamespace(write=wrong), clock_guard=SimpleNamespace(problem=lambda: "it jumped by 400d")
    )
    config: Any = SimpleNamespace(server=SimpleNamespace(jobs_keep=timedelta(days=7)))
    Janitor(services, lambda: config, may_work=lambda: True, may_expire=lambda: True)._forget()
