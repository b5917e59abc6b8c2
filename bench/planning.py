"""Planning over a million rows: seconds and memory of an age-and-keep policy, beside SQL written by hand for it."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

from bench.report import Figure, Report
from daemon.catalog.pipeline_schema import STEPS, TASKS
from support.postgres import PostgresServer, create_pipeline_tables
from support.prepared import prepare
from support.stores import Store

ROWS = 1_000_000
_TURNS = 3

# One in a hundred is older than 30 days, and nine in ten are completed.
_TASKS = {
    "postgresql": f"""
INSERT INTO {TASKS} (task_id, status, parameters, created_at, started_at, completed_at, by_user, db_name)
SELECT 'task_' || lpad(i::text, 7, '0'), CASE i % 10 WHEN 0 THEN 'failed' ELSE 'completed' END, '{{}}',
       at - interval '1 hour', at - interval '1 hour', at, 'user_' || i % 50, 'db_' || i % 200
FROM (SELECT i, localtimestamp - i * (interval '30.3 days' / :rows) AS at FROM generate_series(1, :rows) AS i) AS n
""",
    "sqlite": f"""
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
INSERT INTO {TASKS} (task_id, status, parameters, created_at, started_at, completed_at, by_user, db_name)
SELECT printf('task_%07d', i), CASE i % 10 WHEN 0 THEN 'failed' ELSE 'completed' END, '{{}}',
       datetime('now', (-3600 - i * 2617920 / :rows) || ' seconds'),
       datetime('now', (-3600 - i * 2617920 / :rows) || ' seconds'),
       datetime('now', (-i * 2617920 / :rows) || ' seconds'), 'user_' || (i % 50), 'db_' || (i % 200)
FROM n
""",
}
_STEPS = f"""
INSERT INTO {STEPS} (task_id, step_name, step_status)
SELECT task_id, 'qa_generation', CASE WHEN task_id LIKE '%0000' THEN 'running' ELSE 'completed' END FROM {TASKS}
"""
_BY_HAND = f"""
SELECT task_id, status, db_name, completed_at FROM (
    SELECT task_id, status, db_name, completed_at,
           row_number() OVER (PARTITION BY db_name ORDER BY created_at DESC, task_id DESC) AS rank
    FROM {TASKS} WHERE coalesce(directory_exists, true)
) AS ranked
WHERE rank > 5 AND status = 'completed' AND completed_at <= :bound
  AND task_id NOT IN (SELECT task_id FROM {STEPS} WHERE step_status = 'running')
ORDER BY completed_at
"""

_CODE = """
import json, resource, sys, time
from datetime import timedelta
import sqlalchemy as sa
from daemon.catalog.catalog import Catalog
from daemon.policy.models import Policy, PolicySet
from daemon.sweep.plan import make_plan

url, by_hand, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
policy = Policy.model_validate({
    "name": "old", "match": {"status": "completed", "older_than": "30d"},
    "keep": {"last": 5, "per": ["database"]}, "action": {"delete": "directory"},
})
catalog = Catalog(url, timezone=None, running_statuses=("in_progress", "running"))
catalog.check()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
plans, hands = [], []
for _ in range(turns):
    started = time.perf_counter()
    plan = make_plan(catalog, PolicySet(policies=(policy,)), policy)
    plans.append(time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    bound = (plan.now.local - timedelta(days=30)).replace(microsecond=0)
    bound = str(bound) if url.startswith("sqlite") else bound
    started = time.perf_counter()
    with catalog.read() as session:
        rows = session.connection.execute(sa.text(by_hand), {"bound": bound}).all()
    hands.append(time.perf_counter() - started)
assert abs(len(rows) - len(plan.goes)) <= 1  # the seconds
print(json.dumps({"plans": plans, "hands": hands, "before": before, "peak": peak,
                  "goes": len(plan.goes), "considered": plan.considered}))
"""


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Measure in a fresh process on both databases."""
    for kind in ("postgresql", "sqlite"):
        store = fill(kind, folder, server, int(ROWS * scale))
        command = [sys.executable, "-c", _CODE, store.url, _BY_HAND, str(_TURNS)]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        plan, by_hand_s = sorted(found["plans"])[_TURNS // 2], sorted(found["hands"])[_TURNS // 2]
        what = f"plan of {found['considered']:,} tasks, {found['goes']:,} go"
        section = f"planning, {kind}"
        report.add(Figure(section, what, plan, "s", 5))
        report.add(Figure(section, "the same by hand-written SQL", by_hand_s, "s"))
        report.add(Figure(section, "the plan beside it", plan / by_hand_s, "times", 2))
        report.add(Figure(section, "peak memory", found["peak"] / 1000, "MB", 200))
        report.add(Figure(section, "of it before the plan", found["before"] / 1000, "MB"))
        if kind == "postgresql":
            server.drop_database(store.url)


def fill(kind: str, folder: Path, server: PostgresServer, rows: int) -> Store:
    """A database with so many tasks, each with a step."""
    if kind == "postgresql":
        url = server.create_database()
        create_pipeline_tables(url)
    else:
        url = f"sqlite:///{folder / f'{secrets.token_hex(4)}.sqlite'}"
    prepare(url)
    store = Store(url)
    statement = _TASKS[kind].replace(":rows", str(rows))
    # the driver reads % as a parameter's sign
    for text in (statement, _STEPS):
        store.query(text if store.sqlite else text.replace("%", "%%"))
    store.query("ANALYZE")
    return store
