"""``make torture``: tries every point, prints a table, and fails if anything was inconsistent or a mutant got away.

``SAMPLE=60`` tries as many, evenly spread and in an order that is always the same, as fit into about that many seconds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from support.mounts import possible as may_mount
from support.postgres import PostgresServer, create_pipeline_tables
from support.prepared import prepare
from torture import tracer
from torture.lanes import lane, quiet, work
from torture.points import Point, Tried, all_points
from torture.scenarios import SCENARIOS

LANES = 2
_KINDS = ("sqlite", "postgresql")


def _url(kind: str, folder: Path, server: PostgresServer) -> tuple[str, int | None]:
    if kind == "sqlite":
        url = f"sqlite:///{folder}.sqlite3"
        prepare(url)
        return url, None
    url = server.create_database()
    create_pipeline_tables(url)
    prepare(url)
    return url, server.port


def main() -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--sample", type=float, help="seconds to try for, about")
    parser.add_argument("--database", choices=_KINDS, help="on this one only")
    parser.add_argument("--operation", choices=[one.name for one in SCENARIOS], help="of the operations only this one")
    parser.add_argument("--point", action="append", help="try this one only, as a failure prints it")
    parser.add_argument("--write", type=Path, help="write the table into this Markdown file")
    options = parser.parse_args()
    quiet()
    started = time.time()
    server = PostgresServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="sweepd-torture-") as folder:
            tried, listed = _torture(options, server, Path(folder), started)
    finally:
        server.remove()
    table = _table(tried, listed, time.time() - started)
    print(table)
    failed = [one for one in tried if one.problem is not None]
    for one in failed[:20]:
        print(f"\nfailed: make torture POINT='{one.point}'\n{one.problem}")
    if options.write:
        _write(options.write, table)
    return 1 if failed else 0


def _torture(
    options: argparse.Namespace, server: PostgresServer, folder: Path, started: float
) -> tuple[list[Tried], Counter[tuple[str, str]]]:
    points: list[Point] = []
    for kind in [options.database] if options.database else _KINDS:
        url, port = _url(kind, folder / f"count-{kind}", server)
        with lane(kind, url, folder / f"count-{kind}", port) as one:
            if options.point:
                points += [Point.parse(text) for text in options.point if text.startswith(kind)]
            else:
                points += all_points(one, options.operation)
    listed = Counter((point.database, point.kind) for point in points)
    shares: dict[tuple[str, int], list[Point]] = defaultdict(list)
    random.Random(1).shuffle(points)
    points.sort(key=lambda point: point.kind not in ("rule", "mutant"))
    for number, point in enumerate(points):
        shares[(point.database, number % LANES)].append(point)
    until = None if options.sample is None else started + options.sample
    jobs = []
    for (kind, number), share in shares.items():
        url, port = _url(kind, folder / f"{kind}-{number}", server)
        jobs.append((kind, url, port, str(folder / f"{kind}-{number}"), share, until))
    with multiprocessing.get_context("spawn").Pool(len(jobs)) as pool:
        tried = [one for share in pool.starmap(work, jobs) for one in share]
    return tried, listed


def _table(tried: list[Tried], listed: Counter[tuple[str, str]], seconds: float) -> str:
    reached = Counter((one.point.database, one.point.kind) for one in tried if one.reached)
    idle = Counter((one.point.database, one.point.kind) for one in tried if not one.reached)
    failed = Counter((one.point.database, one.point.kind) for one in tried if one.problem is not None)
    lines = [
        "| database | what | points | tried | fault not reached | not run | failed |",
        "|---|---|---|---|---|---|---|",
    ]
    for key in sorted(listed):
        rest = listed[key] - reached[key] - idle[key]
        lines.append(f"| {key[0]} | {key[1]} | {listed[key]} | {reached[key]} | {idle[key]} | {rest} | {failed[key]} |")
    total = [sum(counter.values()) for counter in (listed, reached, idle, failed)]
    lines.append(
        f"| **all** | | {total[0]} | {total[1]} | {total[2]} | {total[0] - total[1] - total[2]} | {total[3]} |"
    )
    missing = [
        reason for reason in (tracer.possible(), None if may_mount() else "nothing may be mounted here") if reason
    ]
    notes = [f"not run: {reason}" for reason in missing]
    return "\n".join([*lines, "", *notes, f"{seconds:.0f} seconds"])


def _write(path: Path, table: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    head, mark, _ = text.partition("<!-- results -->\n")
    path.write_text(f"{head}{mark or '<!-- results -->' + chr(10)}{table}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
