"""Words the command line has its own copy of, so that ``--help`` answers at once."""

from __future__ import annotations

from daemon.catalog.ledger import State
from daemon.cli import review_commands
from daemon.deletion.models import Trigger


def test_the_copies_are_what_they_copy() -> None:
    assert {one.value for one in review_commands._Trigger} == set(Trigger)
    assert {one.value for one in review_commands._State} == set(State)
