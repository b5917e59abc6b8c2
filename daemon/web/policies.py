"""The policies, what they would do, and sweeps by hand: ``/api/v0/policies`` and what every policy says of one task."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from daemon.catalog.instants import parse_instant
from daemon.catalog.interruption import Interruption
from daemon.deletion.models import Origin, Trigger
from daemon.errors import RootUnavailable
from daemon.policy.models import Policy
from daemon.sweep import stored
from daemon.sweep.documents import explanation_document, plan_document, policy_document, quota_document
from daemon.sweep.explanation import explain
from daemon.sweep.plan import Plan, make_plan, preview
from daemon.sweep.report import SweepReport
from daemon.web import answers, bodies
from daemon.web.bodies import NoBody, SweepBody
from daemon.web.body import read_json
from daemon.web.caller import caller
from daemon.web.context import ApiContext
from daemon.web.health import require_recovered
from daemon.web.lanes import Lane
from daemon.web.queries import MOST_LIMIT, AtQuery, PlanQuery, check_query
from daemon.web.work import Workers


class Policies:
    """The handlers. GET changes nothing."""

    def __init__(self, context: ApiContext, workers: Workers) -> None:
        self._context = context
        self._workers = workers

    async def listed(self, request: web.Request) -> web.Response:
        """The policies the daemon works with, and what no policy may touch."""
        policies = self._context.policies()
        data = {
            "policies": [policy_document(policy) for policy in policies.policies],
            "protect": [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in policies.protect],
            "digest": policies.digest,
            "total": len(policies.policies),
        }
        return answers.success(request, "POLICIES_LISTED", data=data)

    async def plan(self, request: web.Request) -> web.Response:
        """What the policy would do, as of now or ``?at=``."""
        query = check_query(PlanQuery, request.query)
        policy = self._policy(request)
        data = await self._workers.planning.run(request, lambda end: self._plan(policy, query.limit, query.at, end))
        return answers.success(request, "PLAN_MADE", data=data)

    async def store(self, request: web.Request) -> web.Response:
        """Make the plan and keep it under its digest."""
        policy = self._policy(request)
        bodies.check(NoBody, await read_json(request, optional=True))
        initiator = caller(request).initiator
        data = await self._workers.planning.run(request, lambda end: self._store(policy, initiator, end))
        return answers.success(request, "PLAN_STORED", data=data)

    async def sweep(self, request: web.Request) -> web.Response:
        """Run the policy once, by the stored plan that the body names or by a new one."""
        require_recovered(self._context)
        policy = self._policy(request)
        body = bodies.check(SweepBody, await read_json(request))
        initiator, origin = caller(request).initiator, answers.origin(request)
        report = await self._workers.delete(lambda: self._sweep(policy, body, initiator, origin), Lane.BATCH)
        complete = report.succeeded and not (body.plan is not None and (report.dropped or report.failed_again))
        message = "SWEEP_COMPLETE" if complete else "SWEEP_INCOMPLETE"
        return answers.success(request, message, data=report.document(limit=MOST_LIMIT))

    async def explain(self, request: web.Request) -> web.Response:
        """What every policy says of one task."""
        task_id, query = request.match_info["task_id"], check_query(AtQuery, request.query)
        data = await self._workers.read(lambda: self._explain(task_id, query.at))
        return answers.success(request, "TASK_EXPLAINED", data=data)

    def _policy(self, request: web.Request) -> Policy:
        return self._context.policies().get(request.match_info["name"])

    def _plan(self, policy: Policy, limit: int, at: str | None, end: Interruption) -> Mapping[str, Any]:
        catalog, policies = self._context.catalog, self._context.policies()
        with catalog.read() as session:
            zone = session.zone
        plan = preview(catalog, policies, policy, limit=limit, at=self._instant(at), interruption=end)
        return {**plan_document(plan, zone, limit=limit), "quota": self._quota(plan) if at is None else None}

    def _quota(self, plan: Plan) -> Mapping[str, Any] | None:
        """How full it is; None without a quota, or if the storage root is not there, as readiness says."""
        if plan.policy.quota is None:
            return None
        try:
            return quota_document(plan.policy, self._context.sweeper.readings(self._context.policies(), plan))
        except RootUnavailable:
            return None

    def _store(self, policy: Policy, initiator: str, end: Interruption) -> Mapping[str, Any]:
        plan = make_plan(self._context.catalog, self._context.policies(), policy, interruption=end)
        end.check()
        digest = stored.save(self._context.catalog, plan, initiator)
        return {
            "policy": policy.name,
            "digest": digest,
            "considered": plan.considered,
            "selected": len(plan.goes),
            "stay_counts": dict(plan.stay_counts),
        }

    def _sweep(self, policy: Policy, body: SweepBody, initiator: str, origin: Origin) -> SweepReport:
        plan = None if body.plan is None else stored.load(self._context.catalog, policy, body.plan)
        policies = self._context.policies()
        return self._context.sweeper.sweep(
            policies, policy, Trigger.API, initiator, plan=plan, retry=body.retry, origin=origin
        )

    def _explain(self, task_id: str, at: str | None) -> Mapping[str, Any]:
        instant = self._instant(at)
        return explanation_document(explain(self._context.catalog, self._context.policies(), task_id, instant))

    def _instant(self, at: str | None) -> datetime | None:
        if at is None:
            return None
        with self._context.catalog.read() as session:
            return parse_instant(at, session.zone)
