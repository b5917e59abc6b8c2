"""Plans, decisions and remembered sweeps as JSON has them: one form for the command line and the API.

Timestamps are in ISO 8601; those of a task's row are wall time of the pipeline's zone, without an offset. Sizes are in
bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, tzinfo
from typing import Any

from daemon.catalog import populations, rows
from daemon.catalog.holds import Hold
from daemon.catalog.sweeps import SweepRecord
from daemon.policy.models import Policy
from daemon.policy.values import format_duration
from daemon.sweep.eligibility import Eligibility
from daemon.sweep.explanation import Explanation
from daemon.sweep.plan import Decision, Plan
from daemon.sweep.quota import Forecast, Reading


def policy_document(policy: Policy) -> dict[str, Any]:
    """A policy as it was written, with its defaults."""
    return {"digest": policy.digest, **policy.model_dump(mode="json", by_alias=True, exclude_none=True)}


def plan_document(plan: Plan, zone: tzinfo, *, limit: int | None = None) -> dict[str, Any]:
    """A plan; ``limit``: how many tasks of each kind it lists at most."""
    retain = plan.policy.action.retain
    return {
        "policy": plan.policy.name,
        "mode": plan.policy.mode,
        "action": plan.policy.action.what,
        "retain": None if retain is None else format_duration(retain),
        "now": plan.now.utc.isoformat(),
        "digest": plan.digest,
        "considered": plan.considered,
        "selected": plan.selected,
        "goes": [decision_document(decision, zone) for decision in plan.goes[:limit]],
        "stays": [decision_document(decision, zone) for decision in plan.stays[:limit]],
        "stay_counts": dict(plan.stay_counts),
    }


def quota_document(policy: Policy, readings: Sequence[Reading]) -> dict[str, Any]:
    """How full what a policy's quota measures is, in bytes or inodes; ``high`` and ``low`` as the policy has them."""
    quota = policy.quota
    assert quota is not None
    return {
        "of": quota.of,
        "measure": quota.measure,
        "high": quota.high.text,
        "low": quota.low.text,
        "readings": [asdict(reading) for reading in readings],
    }


def forecast_document(policy: Policy, forecast: Forecast) -> dict[str, Any]:
    """The same, with what a sweep would do now."""
    return {
        **quota_document(policy, forecast.readings),
        "would_delete": len(forecast.chosen),
        "held_back": [breach.message for breach in forecast.held_back],
    }


def decision_document(decision: Decision, zone: tzinfo) -> dict[str, Any]:
    """A decision, with every clause, what it requires and what the task has."""
    eligible, measured = decision.eligible, decision.measured
    return {
        **rows.to_json(decision.task),
        "verdict": decision.verdict,
        "reason": decision.reason,
        "clauses": [asdict(clause) for clause in decision.clauses],
        "measured": populations.to_json(measured) if measured else None,
        "eligible": _eligible(eligible, zone) if eligible else None,
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """What every policy says of one task."""
    return {
        "task_id": explanation.task_id,
        "now": explanation.now.utc.isoformat(),
        "task": rows.to_json(explanation.task) if explanation.task else None,
        "measured": populations.to_json(explanation.measured) if explanation.measured else None,
        "holds": [_hold(hold) for hold in explanation.holds],
        "protections": list(explanation.protections),
        "policies": [
            {
                "policy": answer.policy.name,
                "mode": answer.policy.mode,
                "looks_at_it": answer.decision is not None,
                "not_looked_at": answer.not_looked_at,
                "decision": decision_document(answer.decision, explanation.zone) if answer.decision else None,
            }
            for answer in explanation.answers
        ],
    }


def summary_document(explanation: Explanation) -> dict[str, Any]:
    """The same in short: of each policy the verdict and its reason, or why it does not look at the task."""
    policies = []
    for answer in explanation.answers:
        decision = answer.decision
        eligible = decision.eligible if decision else None
        policies.append(
            {
                "policy": answer.policy.name,
                "mode": answer.policy.mode,
                "goes": decision is not None and decision.goes,
                "verdict": decision.verdict if decision else None,
                "reason": decision.reason if decision else answer.not_looked_at,
                "eligible": _eligible(eligible, explanation.zone) if eligible else None,
            }
        )
    return {"protections": list(explanation.protections), "policies": policies}


def record_document(record: SweepRecord) -> dict[str, Any]:
    """A sweep that was remembered; ``report`` is what it did, as ``SweepReport.document`` gives it."""
    values = {n: v.isoformat() if isinstance(v, datetime) else v for n, v in asdict(record).items()}
    return {**values, "report": json.loads(record.report) if record.report else None}


def _hold(hold: Hold) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(hold).items()}


def _eligible(eligible: Eligibility, zone: tzinfo) -> dict[str, Any]:
    return {
        "when": eligible.when,
        "at": eligible.at.isoformat() if eligible.at else None,
        "at_local": eligible.at.astimezone(zone).isoformat() if eligible.at else None,
        "why": eligible.why,
    }
