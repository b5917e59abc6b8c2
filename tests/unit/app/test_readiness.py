"""What each component says, and what is said of one that does not come back from a look."""

from __future__ import annotations

import pytest

from daemon import clock
from daemon.app.readiness import COMPONENTS, PATIENCE_S, Readiness


def test_a_look_that_does_not_end_is_a_problem_until_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    readiness = Readiness()
    for component in COMPONENTS:
        readiness.set(component, None)
    with readiness.asking("catalog"):
        now += PATIENCE_S
        assert readiness.snapshot() == dict.fromkeys(COMPONENTS)
        now += 1
        problem = readiness.snapshot()["catalog"]
        assert problem is not None
        assert "has not answered for 16 s" in problem
    assert readiness.snapshot() == dict.fromkeys(COMPONENTS)
