"""A batch of deletions, group by group, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from daemon import log
from daemon.catalog.catalog import Catalog
from daemon.deletion.engine import GROUP, Engine
from daemon.deletion.models import Outcome, Request
from daemon.errors import SweepdError
from daemon.web.errors import NOBODY_FARES_BETTER, ApiError, explain

_log = log.get(__name__)


@dataclass(slots=True)
class BatchReport:
    """What became of each task. ``deleted_at`` is wall time of the pipeline's zone, None if the catalog cannot tell."""

    deleted: list[Outcome] = field(default_factory=list)
    failed: list[tuple[str, ApiError]] = field(default_factory=list)
    not_attempted: list[str] = field(default_factory=list)
    deleted_at: datetime | None = None

    @property
    def complete(self) -> bool:
        return not self.failed and not self.not_attempted


def run_batch(
    engine: Engine,
    catalog: Catalog,
    requests: Sequence[Request],
    *,
    continue_on_error: bool,
    stopping: Callable[[], bool],
) -> BatchReport:
    """Delete in the order given. ``stopping`` is asked before each task; when it says yes the rest is left alone.

    Raises nothing: once the first task is gone, the answer has to say so.
    """
    report = BatchReport()
    # Together they share a transaction and its syncs; one by one, nothing follows a failure.
    size = GROUP if continue_on_error else 1
    for start in range(0, len(requests), size):
        if stopping() or not _delete(engine, requests[start : start + size], report, go_on=continue_on_error):
            attempted = len(report.deleted) + len(report.failed)
            begun = attempted + len(report.not_attempted)
            report.not_attempted += [left.task_id for left in requests[begun:]]
            break
    report.deleted_at = report.deleted[-1].deleted_at if report.deleted else _now(catalog)
    _log.info(
        "batch_finished",
        requested=len(requests),
        deleted=len(report.deleted),
        failed=len(report.failed),
        not_attempted=len(report.not_attempted),
    )
    return report


def _delete(engine: Engine, requests: Sequence[Request], report: BatchReport, *, go_on: bool) -> bool:
    """Delete some of them; whether it makes sense to go on."""
    results: Sequence[Outcome | Exception]
    try:
        results = engine.delete_group(requests)
    except Exception as error:
        _log.error("batch_deletion_crashed", task_ids=[ascii(r.task_id)[:80] for r in requests], exc_info=error)
        results = [error] * len(requests)
    hopeless: Exception | None = None
    for request, result in zip(requests, results, strict=True):
        if isinstance(result, Outcome):
            report.deleted.append(result)
        elif hopeless is not None and result is hopeless:
            report.not_attempted.append(request.task_id)  # nothing was done for it, for the same reason
        else:
            problem = explain(result, request.task_id)
            report.failed.append((request.task_id, problem))
            if problem.code in NOBODY_FARES_BETTER:
                hopeless = result
    return hopeless is None and (go_on or not report.failed)


def _now(catalog: Catalog) -> datetime | None:
    try:
        with catalog.read() as session:
            return session.now.local.replace(microsecond=0)
    except SweepdError:
        return None
