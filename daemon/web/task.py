"""``GET …/tasks/{task_id}``: everything that is known of one task."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from daemon.catalog.audit import AuditFilter
from daemon.catalog.inventory import seen
from daemon.deletion import audit_trail
from daemon.deletion.holding import hold_json
from daemon.sweep.documents import summary_document
from daemon.sweep.explanation import explain
from daemon.web import answers
from daemon.web.context import ApiContext
from daemon.web.health import require_started
from daemon.web.listing import entries
from daemon.web.work import Workers

_DELETIONS: Final = 100
"""The latest ones; the others are at /api/v0/deletions."""


class Task:
    """The handler."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def show(self, request: web.Request) -> web.Response:
        """The task's row, what scans found, its deletions, the holds on it, and what every policy says, in short."""
        require_started(self._context)
        task_id = request.match_info["task_id"]
        data = await self._workers.read(lambda: self._load(task_id))
        return answers.success(request, "TASK_SHOWN", data=data)

    def _load(self, task_id: str) -> dict[str, Any]:
        catalog = self._context.catalog
        explanation = explain(catalog, self._context.policies(), task_id)
        with catalog.read() as session:
            found = seen(session.connection, task_id)
            [entry] = entries(session, (explanation.task,)) if explanation.task else [None]
        deleted = audit_trail.page(catalog, AuditFilter(task_id=task_id), limit=_DELETIONS)
        return {
            "task_id": task_id,
            "task": entry,
            "inventory": found,
            "deletions": [audit_trail.document(record) for record in deleted],
            "holds": [hold_json(hold, in_force=True) for hold in explanation.holds],
            "explanation": summary_document(explanation),
        }
