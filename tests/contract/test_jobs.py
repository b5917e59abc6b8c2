"""The journal of jobs on both databases, and jobs that are killed anywhere: each task is deleted and counted once."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from daemon.catalog import idempotency, jobs
from daemon.catalog.idempotency import Keyed
from daemon.catalog.jobs import JobState
from daemon.clock import now
from daemon.deletion.models import Origin, Outcome, Request, Trigger, What
from daemon.errors import CatalogUnavailable, ErrorCode, SweepdError, TaskRefused
from daemon.jobs import failures
from daemon.jobs.batch import Batch, BatchReport
from daemon.jobs.journal import Journal, Kind
from daemon.jobs.recall import recall
from daemon.storage.trash import new_deletion_id
from support.auditor import DELETED, audit
from support.crash import finish_job, job_work
from support.processes import ForkServer
from support.site import Site


def make(site: Site, *task_ids: str, what: What = What.DIRECTORY, retain: timedelta | None = None) -> str:
    job_id = new_deletion_id()
    told: dict[str, Any] = {"origin": Origin("10.0.0.7", "c0ffee"), "reason": "the disk is full"}
    wanted = [
        Request(task_id, what, Trigger.API, "api:alice", retain=retain, job_id=job_id, **told) for task_id in task_ids
    ]
    Journal(site.catalog).make(job_id, Kind.BATCH, wanted, continue_on_error=True)
    return job_id


def report(site: Site, job_id: str) -> BatchReport:
    shown = Journal(site.catalog).find(job_id)
    assert shown.report is not None
    return shown.report


def codes(found: Sequence[tuple[str, Exception]]) -> list[tuple[str, ErrorCode]]:
    return [(task_id, error.code) for task_id, error in found if isinstance(error, SweepdError)]


def test_a_job_is_read_back_as_it_was(site: Site) -> None:
    kept = [site.task("task_1"), site.task("task_2", files=7)]
    site.task("task_3", status="in_progress")
    hostile = 'no "id"\0\n\\\u4efb'
    job_id = make(site, "task_1", hostile, "task_2", "task_3", "task_4", retain=timedelta(days=7))
    journal = Journal(site.catalog)
    assert [job.job_id for job in journal.unfinished()] == [job_id]
    assert finish_job(job_work(site, job_id)) == 5
    shown, found = journal.find(job_id), report(site, job_id)
    assert (shown.job.state, shown.job.initiator, shown.job.retain_seconds) == ("finished", "api:alice", 7 * 86_400)
    assert (shown.totals.deleted, shown.totals.failed) == (2, 3)
    for task, outcome in zip(kept, found.deleted, strict=True):
        census = outcome.census
        assert census is not None
        assert (census.files, census.directories, census.size_bytes, census.freed_bytes) == task.counts
        assert outcome.retained_until is not None
        row = site.store.task(outcome.task_id)
        assert row is not None
        assert str(row["updated_at"])[:19] == outcome.deleted_at.isoformat(" ")
    assert codes(found.failed) == [
        (hostile, ErrorCode.INVALID_TASK_ID),
        ("task_3", ErrorCode.TASK_RUNNING),
        ("task_4", ErrorCode.TASK_NOT_FOUND),
    ]
    [entry] = site.store.ledger("task_1")
    assert [entry[name] for name in ("client", "request_id", "reason")] == ["10.0.0.7", "c0ffee", "the disk is full"]
    assert journal.unfinished() == []
    assert [task.number for task in journal.noted(job_id, 2, 10)] == [3, 4, 5]
    assert found.deleted_at == found.deleted[-1].deleted_at


@pytest.mark.parametrize("crashed", [False, True])
def test_a_job_was_when_its_last_deletion_was(site: Site, crashed: bool) -> None:
    """Not when a task that it found gone had been deleted, by whichever way it ends."""
    site.task("task_1")
    site.task("task_2")
    site.engine.delete(Request("task_2", What.DIRECTORY, Trigger.API, "test"))
    site.store.query("UPDATE data_pipeline_tasks SET updated_at = '2020-01-01 00:00:00' WHERE task_id = 'task_2'")
    work = job_work(site, make(site, "task_1", "task_2", "task_3"))
    if crashed:
        work._batch = work._begin()
        work._attempt(work._batch)
        work.abandon(RuntimeError("a bug"))
    else:
        finish_job(work)
    found = report(site, work.job.job_id)
    [first, second] = found.deleted
    assert second.deleted_at.year == 2020
    assert found.deleted_at == first.deleted_at


def test_failures_are_kept_with_what_their_messages_need() -> None:
    error = TaskRefused("wait", code=ErrorCode.TASK_HELD, details={"owner": "alice", "reason": "an audit"})
    again = failures.from_json(failures.to_json(error))
    assert isinstance(again, TaskRefused)
    assert (again.code, str(again), again.details) == (error.code, "wait", error.details)
    assert not isinstance(failures.from_json(failures.to_json(CatalogUnavailable("away"))), TaskRefused)
    bug = failures.from_json(failures.to_json(ValueError("secret")))
    assert (isinstance(bug, SweepdError), "secret" in str(bug)) == (False, False)


@pytest.mark.parametrize("what", [What.DIRECTORY, What.DIRECTORY_AND_RECORDS])
@pytest.mark.costly
def test_a_job_killed_before_any_step_counts_each_task_once(site: Site, processes: ForkServer, what: What) -> None:
    """Killed again and again, each time a little later, until it lives to its end."""
    ids = [f"task_{number}" for number in range(3)]
    tasks, ends, recalled = [], [], 0
    for step in (24, 31, 35, 41, 52, 58, 0):
        names = [f"{task_id}_{step}" for task_id in ids]
        before = [site.task(name) for name in names]
        tasks += before
        job_id = make(site, *names, "task_missing", what=what)
        died = processes.run("support.crash:run_job", url=site.store.url, root=str(site.path), job_id=job_id, step=step)
        ends.append(died.killed_by)
        if not Journal(site.catalog).noted(job_id, 0, 1):
            recalled += len(site.store.query("SELECT 1 FROM sweepd_deletions WHERE job_id = ?", [job_id]))
        site.recovery.run()
        if died.killed_by is not None:
            finish_job(job_work(site, job_id))
        found = report(site, job_id)
        assert [outcome.task_id for outcome in found.deleted] == names
        for task, outcome in zip(before, found.deleted, strict=True):
            census = outcome.census
            assert census is not None
            assert (census.files, census.directories, census.size_bytes, census.freed_bytes) == task.counts
            assert (outcome.directory_deleted, outcome.records_deleted) == (True, what.records)
        assert codes(found.failed) == [("task_missing", ErrorCode.TASK_NOT_FOUND)]
        assert found.not_attempted == []
        numbers = [task.number for task in Journal(site.catalog).noted(job_id, 0, 10)]
        assert numbers == [1, 2, 3, 4]
    assert ends == [signal.SIGKILL] * 6 + [None]
    assert recalled >= 3, "no kill came between a deletion and its note"
    assert set(audit(site.store, site.path, tasks).values()) == {DELETED}
    assert {entry["job_id"] for task in tasks for entry in site.store.ledger(task.task_id)} != {None}


def test_what_was_restored_meanwhile_is_not_deleted_again(site: Site) -> None:
    site.task("task_1")
    site.task("task_2")
    job_id = make(site, "task_1", "task_2", retain=timedelta(days=1))
    work = job_work(site, job_id)
    work._batch = work._begin()
    work._batch.step()  # and killed before any of it was noted
    site.restorer.restore_task("task_1", "test")
    finish_job(job_work(site, job_id))
    assert [outcome.task_id for outcome in report(site, job_id).deleted] == ["task_1", "task_2"]
    assert (site.path / "task_1").is_dir()


def test_what_could_not_be_removed_is_a_failure_and_what_is_being_removed_is_waited_for(site: Site) -> None:
    site.task("task_1")
    job_id = make(site, "task_1")
    finish_job(job_work(site, job_id))
    site.store.query("UPDATE sweepd_deletions SET state = 'committed', finished_at = NULL")
    unsettled = recall(site.catalog, job_id, ["task_1"])["task_1"]
    assert isinstance(unsettled, TaskRefused)
    assert (unsettled.code, "deletion_id" in unsettled.details) == (ErrorCode.TASK_BUSY, True)
    site.store.query("UPDATE sweepd_deletions SET error = 'EPERM at task_1/a'")
    blocked = recall(site.catalog, job_id, ["task_1"])["task_1"]
    assert isinstance(blocked, TaskRefused)
    assert (blocked.code, "EPERM" in str(blocked)) == (ErrorCode.DELETION_FAILED, True)
    site.store.query("UPDATE sweepd_deletions SET state = 'aborted'")
    assert recall(site.catalog, job_id, ["task_1"]) == {}


@pytest.mark.parametrize("retain", [None, timedelta(days=1)])
@pytest.mark.parametrize("what", [What.DIRECTORY, What.DIRECTORY_AND_RECORDS])
def test_what_is_recalled_has_the_time_the_deletion_told(
    site: Site, monkeypatch: pytest.MonkeyPatch, what: What, retain: timedelta | None
) -> None:
    """However long a deletion takes, and whatever this machine's clock is beside the database's."""
    task, seconds = site.task("task_1"), itertools.count(5, 5)
    monkeypatch.setattr("daemon.clock.now", lambda: now() + timedelta(seconds=next(seconds)))
    job_id = new_deletion_id()
    told = site.engine.delete(Request(task.task_id, what, Trigger.API, "test", retain=retain, job_id=job_id))
    recalled = recall(site.catalog, job_id, [task.task_id])[task.task_id]
    assert isinstance(recalled, Outcome)
    assert (recalled.deleted_at, recalled.retained_until) == (told.deleted_at, told.retained_until)


def test_a_bug_keeps_what_was_found_out_and_what_the_journal_knows(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.task("task_1")
    site.task("task_2")
    site.task("task_3", status="in_progress")
    job_id = make(site, "task_1", "task_3", "task_2", "task_4")
    work = job_work(site, job_id)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.catalog.jobs.note", lambda *_: 1 // 0)
        with pytest.raises(ZeroDivisionError) as caught:
            work.step()
    site.store.query("UPDATE sweepd_deletions SET state = 'committed', finished_at = NULL WHERE task_id = 'task_2'")
    work._unnoted = [task for task in work._unnoted if task.task_id == "task_3"]
    work.abandon(caught.value)
    found = report(site, job_id)
    assert (work.ended, work.job.state, Journal(site.catalog).unfinished()) == (True, JobState.FINISHED, [])
    assert [outcome.task_id for outcome in found.deleted] == ["task_1"]
    assert codes(found.failed) == [("task_3", ErrorCode.TASK_RUNNING), ("task_2", ErrorCode.TASK_BUSY)]
    [(bug, error)] = [one for one in found.failed if not isinstance(one[1], SweepdError)]
    assert (bug, "division" in str(error)) == ("task_4", False)
    assert [task.number for task in Journal(site.catalog).noted(job_id, 0, 10)] == [1, 2, 3, 4]
    [entry] = site.store.ledger("task_2")
    assert entry["state"] == "committed"  # recovery's, as before


def test_a_bug_in_its_end_too_ends_a_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.task("task_1")
    job_id = make(site, "task_1", "task_2")
    work = job_work(site, job_id)
    with monkeypatch.context() as patch:
        patch.setattr("daemon.jobs.crash.recall", lambda *_: 1 // 0)
        work.abandon(RuntimeError("before it began"))
    found = report(site, job_id)
    assert [task_id for task_id, _ in found.failed] == ["task_1", "task_2"]
    assert not any(isinstance(error, SweepdError) for _, error in found.failed)
    assert Journal(site.catalog).unfinished() == []
    assert (site.path / "task_1").is_dir()


def test_a_cancellation_outlives_the_daemon(site: Site) -> None:
    site.task("task_1")
    job_id = make(site, "task_1")
    journal = Journal(site.catalog)
    journal.cancel(job_id, "api:bob")
    finish_job(job_work(site, job_id))
    job = journal.find(job_id).job
    assert (job.state, job.cancelled_by, job.started_at) == (JobState.CANCELLED, "api:bob", None)
    assert report(site, job_id).not_attempted == ["task_1"]
    assert (site.path / "task_1").is_dir()
    with pytest.raises(SweepdError) as caught:
        journal.cancel(job_id, "api:bob")
    assert caught.value.code is ErrorCode.JOB_ENDED


def test_a_cancellation_between_the_list_and_the_beginning_is_heard(site: Site) -> None:
    site.task("task_1")
    job_id = make(site, "task_1")
    work = job_work(site, job_id)
    Journal(site.catalog).cancel(job_id, "api:bob")
    finish_job(work)
    assert Journal(site.catalog).find(job_id).job.state is JobState.CANCELLED
    assert (site.path / "task_1").is_dir()


def test_a_job_that_has_ended_since_it_was_listed_is_left_alone(site: Site) -> None:
    site.task("task_1")
    job_id = make(site, "task_1")
    late = job_work(site, job_id)
    finish_job(job_work(site, job_id))
    before = Journal(site.catalog).find(job_id).job
    assert finish_job(late) == 0
    assert late.job == Journal(site.catalog).find(job_id).job == before


def test_what_is_gone_and_not_settled_keeps_no_other_task_of_its_job_waiting(site: Site) -> None:
    before = [site.task(f"task_{number}") for number in range(4)]
    ids = [task.task_id for task in before]
    unsettled = TaskRefused("gone", code=ErrorCode.TASK_BUSY, details={"deletion_id": "0" * 28})
    asked: list[list[str]] = []

    def recalled(task_ids: Sequence[str]) -> dict[str, SweepdError]:
        asked.append(list(task_ids))
        return {"task_0": unsettled}

    wanted = [Request(task_id, What.DIRECTORY, Trigger.API, "api:alice") for task_id in ids]
    batch = Batch(site.engine, wanted, continue_on_error=True, patient=True, recall=recalled, begun_before=True)
    done = [task_id for task_id, _ in batch.step()]
    assert (sorted(done), batch.wait_s) == (ids[1:], 0)
    assert (batch.step(), batch.wait_s > 1) == ([], True)
    assert asked == [ids, ["task_0"]]
    assert [task_id for task_id, _ in batch.give_up()] == ["task_0"]


def test_a_job_is_made_once_and_forgotten_with_its_tasks(site: Site) -> None:
    job_id = make(site, "task_1")
    again = Journal(site.catalog).make(
        job_id, Kind.TASK, [Request("task_2", What.DIRECTORY, Trigger.API, "x")], continue_on_error=True
    )
    assert (again.kind, again.tasks_total, again.initiator) == ("batch", 1, "api:alice")
    with site.catalog.write() as session:
        assert jobs.forget(session.connection, now() + timedelta(days=1)) == 0, "it has not ended"
    finish_job(job_work(site, job_id))
    with site.catalog.write() as session:
        assert jobs.forget(session.connection, now() - timedelta(days=1)) == 0
        assert jobs.forget(session.connection, now() + timedelta(days=1)) == 1
    assert site.store.query("SELECT * FROM sweepd_job_tasks") == []
    with pytest.raises(SweepdError) as caught:
        Journal(site.catalog).find(job_id)
    assert caught.value.code is ErrorCode.JOB_NOT_FOUND


def test_a_key_stands_for_one_request_for_a_day(site: Site) -> None:
    first = Keyed("f" * 64, new_deletion_id(), now())

    def begin(new: Keyed, caller: str = "api:alice") -> Keyed | None:
        with site.catalog.write() as session:
            return idempotency.begin(session.connection, caller, "key", new)

    assert begin(first) is None
    assert begin(Keyed("0" * 64, new_deletion_id(), now())) == first
    assert begin(first, "api:bob") is None
    with site.catalog.write() as session:
        idempotency.answer(session.connection, "api:alice", "key", status=200, headers="{}", body='{"消息": 1}')
    answered = begin(first)
    assert answered is not None
    assert (answered.status, answered.body) == (200, '{"消息": 1}')
    later = Keyed("1" * 64, new_deletion_id(), now() + timedelta(hours=25))
    assert begin(later) is None
    assert begin(later) == later
