"""Whatever is typed, the answer is a sentence and an exit status: no argument reaches a database that chokes on it."""

from __future__ import annotations

import pytest

from support.daemons import Installation

HUGE = "9" * 30
POLICIES = """
version: 1
policies:
  - name: old
    match: {status: completed}
    action: {delete: directory}
"""
BYTES = "a\udcff"  # what Python makes of a byte that is no UTF-8
NUMBERS = [
    ("tasks", "--limit", HUGE),
    ("tasks", "--offset", HUGE),
    ("tasks", "--offset", str(2**63 - 1)),
    ("sweeps", "--limit", HUGE),
    ("deletions", "--limit", HUGE),
    ("deletions", "--limit", str(2**63 - 1)),
    ("deletions", "--limit", str(2**64)),
    ("inventory", "--largest", HUGE),
]
TEXTS = [
    ("tasks", "--status", BYTES),
    ("plan", BYTES),
    ("plan", "--at", BYTES),
    ("plan", "--at", "2999-12-31T00:00+23:59"),
    ("sweep", BYTES),
    ("sweep", "old", "--plan", BYTES),
    ("explain", BYTES),
    ("explain", "task_1", "--at", "2999-12-31T00:00-16:00"),
    ("delete", BYTES, "--yes"),
    ("delete", "task_1", "--reason", BYTES, "--yes"),
    ("trash", BYTES),
    ("restore", BYTES),
    ("purge", BYTES, "--yes"),
    ("sweeps", BYTES),
    ("deletions", BYTES),
    ("deletions", "--policy", BYTES),
    ("deletions", "--sweep", BYTES),
    ("deletions", "--initiator", BYTES),
    ("deletions", "--since", "2999-12-31T00:00+23:59"),
    ("hold", BYTES, "--reason", "x"),
    ("hold", "task_1", "--reason", BYTES),
    ("hold", "task_1", "--reason", "x", "--owner", BYTES),
    ("hold", "task_1", "--reason", "x", "--until", "9999-12-31"),
    ("hold", "task_1", "--reason", "x", "--until", "9999-12-31T23:59:59-23:59"),
    ("release", BYTES),
    ("resume", BYTES),
    ("notify", "test", BYTES),
]


@pytest.mark.parametrize("arguments", [NUMBERS, TEXTS], ids=["numbers", "texts"])
def test_no_argument_ends_in_a_traceback(installation: Installation, arguments: list[tuple[str, ...]]) -> None:
    installation.write_policies(POLICIES)
    for one in arguments:
        done = installation.run(*one, check=False)
        assert "Traceback" not in done.stderr, f"{one}: {done.stderr[-500:]}"
        assert done.returncode != 1, f"{one}: {done.stdout}{done.stderr}"
