"""The metrics begin every series at 0, so they know the words of the rooms above them: these are the same."""

from __future__ import annotations

import re
from pathlib import Path

import daemon.web
from daemon.catalog.jobs import JobState
from daemon.catalog.selection import Verdict
from daemon.deletion.models import Trigger
from daemon.deletion.recovery import Result
from daemon.errors import CatalogRolledBack, ErrorCode
from daemon.metrics import deletions, jobs, policies, server, trash
from daemon.policy.models import Limits, Mode
from daemon.sweep.report import SweepOutcome
from daemon.web.lanes import Lane
from daemon.web.refusals import AUDITED


def test_of_policies() -> None:
    assert set(policies.MODES) == set(Mode)
    assert set(policies.OUTCOMES) == set(SweepOutcome)
    assert set(policies.STAYS) == set(Verdict) - {Verdict.SELECTED}
    of_policies = {name for name in Limits.model_fields if name.startswith("max_")}
    assert set(policies.LIMITS) == of_policies | {"orphan_share", "scan_age"}
    assert set(policies.REFUSALS) <= set(ErrorCode)


def test_of_refused_sweeps_every_code_there_is() -> None:
    sweep = Path(daemon.web.__file__).parents[1] / "sweep"
    sources = "".join(
        (sweep / f"{name}.py").read_text(encoding="utf-8") for name in ("sweeper", "suspension", "guards")
    )
    raised = re.findall(r"SweepRefused\(.*?code=ErrorCode\.(\w+)", sources, re.DOTALL)
    uncounted = {"STARTUP_REFUSED"}  # a disabled policy: whoever asks for its sweep is told, and that is all
    assert uncounted <= set(raised)
    assert set(policies.REFUSALS) == set(raised) - uncounted | {CatalogRolledBack.code}


def test_of_deletions_and_trash() -> None:
    assert set(deletions.TRIGGERS) == set(Trigger)
    assert set(trash.RESULTS) == set(Result) - {Result.BUSY}


def test_of_the_server() -> None:
    assert set(server.REFUSALS) == set(AUDITED)
    assert set(jobs.LANES) == set(Lane)
    assert set(jobs.UNFINISHED) | set(jobs.ENDED) == set(JobState)
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(daemon.web.__file__).parent.glob("*.py"))
    closed = re.findall(r'(?:abort|_end)(?:\(|, |\(\w+, )"(\w+)"', sources)
    assert set(server.CLOSED) == set(closed)
