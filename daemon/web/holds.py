"""``/api/v0/holds``: placing, listing and releasing them."""

from __future__ import annotations

from aiohttp import web

from daemon.catalog.holds import Covered, Hold
from daemon.deletion.hold_terms import Terms, is_everything, is_hold_id
from daemon.deletion.holding import hold_json
from daemon.errors import ErrorCode, TaskRefused
from daemon.storage.names import check_task_id
from daemon.web import answers, bodies
from daemon.web.bodies import HoldBody, NoBody
from daemon.web.body import read_json
from daemon.web.caller import caller
from daemon.web.context import ApiContext
from daemon.web.queries import HoldsQuery, check_query
from daemon.web.work import Workers


class Holds:
    """The three handlers. They work while recovery does: a hold can only keep something."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._holds = context.holds
        self._workers = workers

    async def place(self, request: web.Request) -> web.Response:
        """Place a hold on a task or a pattern. 201 once it is in force."""
        initiator = caller(request).initiator
        terms = _terms(bodies.check(HoldBody, await read_json(request)), initiator)
        placed = await self._workers.write(lambda: self._holds.place(terms, initiator))
        return answers.success(request, _message(placed.covered), data=placed.to_json(), status=201)

    async def listed(self, request: web.Request) -> web.Response:
        """Those in force, the oldest first; with ``?all=true`` the others too."""
        query = check_query(HoldsQuery, request.query)
        found, now = await self._workers.read(lambda: self._holds.listed(everything=query.all))
        data = {"holds": [hold_json(hold, in_force=hold.in_force(now)) for hold in found], "total": len(found)}
        return answers.success(request, "HOLDS_LISTED", data=data)

    async def release(self, request: web.Request) -> web.Response:
        """End the hold of the URL."""
        bodies.check(NoBody, await read_json(request, optional=True))
        hold_id = request.match_info["hold_id"]
        if not is_hold_id(hold_id):
            raise TaskRefused(f"{ascii(hold_id)[:80]} is not the id of a hold", code=ErrorCode.HOLD_NOT_FOUND)
        released: Hold = await self._workers.write(lambda: self._holds.release(hold_id, caller(request).initiator))
        return answers.success(request, "HOLD_RELEASED", data=hold_json(released, in_force=False))


def _terms(body: HoldBody, initiator: str) -> Terms:
    if body.pattern is not None and body.task_id is not None:
        raise bodies.invalid("pattern", "MUST_BE_ALONE", other="task_id")
    if body.until is not None and body.lasting is not None:
        raise bodies.invalid("for", "MUST_BE_ALONE", other="until")
    pattern = body.pattern if body.task_id is None else check_task_id(body.task_id)
    if pattern is None:
        raise bodies.missing("task_id")
    if is_everything(pattern) and not body.all_tasks:
        raise bodies.invalid("pattern", "MUST_NOT_BE_EVERYTHING")
    return Terms(pattern, body.reason, body.owner or initiator, body.until, body.lasting)


def _message(covered: Covered) -> str:
    if covered.tasks == 0:
        return "HOLD_PLACED_ON_NOTHING"
    return "HOLD_PLACED_TOO_LATE" if covered.gone == covered.tasks else "HOLD_PLACED"
