"""The end of a job that has met a bug: what is certain is kept, and nothing is attempted any more.

What was committed, and is not purged yet, is recovery's: it settles it as always, whatever the job says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from daemon.catalog import jobs
from daemon.catalog.catalog import Catalog
from daemon.catalog.jobs import Job, JobTask
from daemon.deletion.models import Outcome
from daemon.jobs import journal
from daemon.jobs.recall import recall


def end_with_what_is_certain(
    catalog: Catalog,
    job: Job,
    error: Exception,
    *,
    unnoted: Sequence[JobTask],
    at_work: Sequence[str],
    cancelled: bool,
) -> tuple[Job, list[JobTask]]:
    """End it with what was found out and not noted yet (``unnoted``), and what the journal of deletions knows.

    Of the others, one of those ``at_work`` has failed by ``error``. The job as it is then, and the tasks noted thereby.
    Raises CatalogUnavailable or CatalogNotReady.
    """
    waiting = _waiting(catalog, job)
    kept = {task.position: task for task in unnoted}
    known = recall(catalog, job.job_id, [task.task_id for task in waiting])
    unknown = [task for task in waiting if task.position not in kept and task.task_id not in known]
    failed = next((task for task in unknown if task.task_id in at_work), unknown[0] if unknown else None)
    fates: dict[int, Outcome | Exception | None] = {
        task.position: error if task is failed else known.get(task.task_id) for task in waiting
    }
    return _end(catalog, job, waiting, fates, kept, cancelled)


def end_blindly(catalog: Catalog, job: Job, error: Exception) -> tuple[Job, list[JobTask]]:
    """End it by failing whatever is not noted: what became of that, the audit trail knows. Raises as the other one."""
    waiting = _waiting(catalog, job)
    return _end(catalog, job, waiting, dict.fromkeys((task.position for task in waiting), error), {}, False)


def _waiting(catalog: Catalog, job: Job) -> list[JobTask]:
    with catalog.read() as session:
        return [task for task in jobs.tasks(session.connection, job.job_id) if task.outcome is None]


def _end(
    catalog: Catalog,
    job: Job,
    waiting: Sequence[JobTask],
    fates: Mapping[int, Outcome | Exception | None],
    kept: Mapping[int, JobTask],
    cancelled: bool,
) -> tuple[Job, list[JobTask]]:
    with catalog.write() as session:
        jobs.begin(session.connection, job.job_id)  # its first step may have been the one that failed
        last = max((task.number or 0 for task in jobs.tasks(session.connection, job.job_id)), default=0)
        found = [kept.get(task.position) or journal.noted(task, 0, fates[task.position]) for task in waiting]
        found.sort(key=lambda task: task.number or len(waiting) + last)  # what was found out first, in its order
        done = [replace(task, number=number) for number, task in enumerate(found, last + 1)]
        jobs.note(session.connection, job.job_id, done)
        ended = journal.end(session, job.job_id, cancelled=cancelled)
    return ended or job, done
