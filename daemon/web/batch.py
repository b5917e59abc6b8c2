"""A batch of deletions, one after the other, on one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from daemon import log
from daemon.catalog.catalog import Catalog
from daemon.deletion.engine import Engine
from daemon.deletion.models import Outcome, Request
from daemon.errors import SweepdError
from daemon.web.errors import NOBODY_FARES_BETTER, ApiCode, ApiError, explain

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
    for position, request in enumerate(requests):
        if stopping():
            report.not_attempted = [left.task_id for left in requests[position:]]
            break
        try:
            report.deleted.append(engine.delete(request))
        except Exception as error:
            problem = explain(error, request.task_id)
            if problem.code is ApiCode.INTERNAL_ERROR:
                _log.error("batch_deletion_crashed", task_id=ascii(request.task_id)[:80], exc_info=error)
            report.failed.append((request.task_id, problem))
            if problem.code in NOBODY_FARES_BETTER or not continue_on_error:
                report.not_attempted = [left.task_id for left in requests[position + 1 :]]
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


def _now(catalog: Catalog) -> datetime | None:
    try:
        with catalog.read() as session:
            return session.now.local.replace(microsecond=0)
    except SweepdError:
        return None
