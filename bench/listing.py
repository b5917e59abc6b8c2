"""Lists over a million rows: how long a page takes, wherever it begins."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bench.planning import ROWS, fill
from bench.report import Figure, Report
from daemon.catalog.pipeline_schema import TASKS
from support.postgres import PostgresServer

_PAGES = 200
_LIMIT = 100

# Every third was changed and half were counted, so that every order has both of its parts.
_CHANGED = f"UPDATE {TASKS} SET updated_at = completed_at, directory_exists = false WHERE task_id LIKE '%3'"
_COUNTED = f"""
INSERT INTO sweepd_inventory (task_id, first_seen_at, last_seen_at, sightings, signature, measured_at, files,
                              directories, size_bytes, freed_bytes, modified_at)
SELECT task_id, created_at, created_at, 2, '-', created_at, 1, 1, length(db_name) * 1000, 4096, created_at
FROM {TASKS} WHERE task_id LIKE '%5' OR task_id LIKE '%7'
"""
_DELETED = f"""
INSERT INTO sweepd_deletions (deletion_id, task_id, state, what, trigger, initiator, policy, forced, directory_deleted,
                              records_deleted, committed_at)
SELECT '00000000000000000' || substr(task_id, 6), task_id, 'purged', 'directory', 'sweep', 'policy:old', 'old', false,
       true, false, completed_at FROM {TASKS}
"""

_CODE = """
import json, random, sys, time
from daemon.catalog import audit
from daemon.catalog.audit import AuditFilter
from daemon.catalog.catalog import Catalog
from daemon.catalog.task_list import Order, Place, SortBy, TaskFilter, TaskList

url, pages, limit, rows = sys.argv[1], *map(int, sys.argv[2:])
catalog = Catalog(url, timezone=None, running_statuses=("in_progress", "running"))
catalog.check()
found = {}
chance = random.Random(0)

def measure(what, places, read):
    seconds = []
    for place in places:
        started = time.perf_counter()
        with catalog.read() as session:
            page = read(session, place)
        seconds.append(time.perf_counter() - started)
        assert page, what
    seconds.sort()
    found[what] = [seconds[len(seconds) // 2], seconds[max(0, int(len(seconds) * 0.99) - 1)]]

def listing(session, wanted, order):
    return TaskList(session.tables, catalog.timeline, session.now, wanted, order)

def any_places(wanted, order):
    # The places that a client may have got to: the ends of pages anywhere in the list.
    with catalog.read() as session:
        whole = listing(session, wanted, order)
        total = whole.page(session.connection, limit=1).total
        offsets = [chance.randrange(total - limit) for _ in range(20)]
        places = [whole.page(session.connection, limit=1, offset=n, counted=False).end for n in offsets]
    walked = []
    for place in places:  # and on from there
        for _ in range(pages // 20):
            walked.append(place)
            with catalog.read() as session:
                page = listing(session, wanted, order).page(
                    session.connection, limit=limit, after=place, counted=False)
            place = page.end or place
    return walked

kinds = {
    "newest first": (TaskFilter(), Order()),
    "oldest first": (TaskFilter(), Order(descending=False)),
    "last changed first": (TaskFilter(), Order(SortBy.UPDATED)),
    "largest first": (TaskFilter(), Order(SortBy.SIZE)),
    "of a common status": (TaskFilter(statuses=("completed",)), Order()),
    "of the status of one in ten": (TaskFilter(statuses=("failed",)), Order()),
    "of a user": (TaskFilter(user="user_7"), Order()),
    "without a directory": (TaskFilter(directory_exists=False), Order()),
}
for what, (wanted, order) in kinds.items():
    places = any_places(wanted, order)
    measure(what, places, lambda session, place: listing(session, wanted, order).page(
        session.connection, limit=limit, after=place, counted=False).tasks)
for what in ("newest first",):
    measure(f"first page with its total, {what}", [None] * 20, lambda session, _: listing(
        session, TaskFilter(), Order()).page(session.connection, limit=limit).tasks)
measure("text that few names have", [None] * 5, lambda session, _: listing(
    session, TaskFilter(text=f"{rows // 2:07}"), Order()).page(session.connection, limit=limit, counted=False).tasks)

with catalog.read() as session:
    marks = [None]
    while len(marks) < pages:
        marks.append(audit.mark(audit.page(session.connection, AuditFilter(), limit=limit, after=marks[-1])[-1]))
measure("audit trail", marks, lambda session, after: audit.page(
    session.connection, AuditFilter(), limit=limit, after=after))
print(json.dumps(found))
"""


def run(report: Report, folder: Path, *, scale: float, server: PostgresServer) -> None:
    """Measure in a fresh process on both databases."""
    for kind in ("postgresql", "sqlite"):
        rows = int(ROWS * scale)
        store = fill(kind, folder, server, rows)
        for statement in (_CHANGED, _COUNTED, _DELETED):
            store.query(statement if store.sqlite else statement.replace("%", "%%"))
        store.query("ANALYZE")
        command = [sys.executable, "-c", _CODE, store.url, str(_PAGES), str(_LIMIT), str(rows)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        for what, (median, slow) in found.items():
            by_cursor = "total" not in what and "text" not in what
            section = f"listing, {kind}, {rows:,} rows"
            report.add(Figure(section, f"{what}, median", median * 1000, "ms"))
            report.add(Figure(section, f"{what}, p99", slow * 1000, "ms", 50 if by_cursor else None))
        if kind == "postgresql":
            server.drop_database(store.url)
