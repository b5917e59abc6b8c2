"""``make soak``: creation, sweeps, deletions, restores, reloads and reads, with kills and outages; then the audit.

Two installations under the same load: the daemon of one is killed again and again, that of the other never, and its
memory, files and threads are watched. Ends with 1 on any difference, and prints it and the seed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from soak.actors import Actor, Operator, People, Pipeline, Readers
from soak.judge import Watch, judge, look, settle
from soak.world import World
from support.postgres import PostgresServer, create_pipeline_tables

_KILL_S, _OUTAGE_S, _AWAY_S, _AUDIT_S, _SAMPLE_S = 30.0, 75.0, 3.0, 20.0, 2.0
_TABLES = [
    "deletions",
    "snapshots",
    "sweeps",
    "jobs",
    "job_tasks",
    "idempotency",
    "inventory",
    "holds",
    "scans",
    "plans",
    "policies",
]


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kill-every", type=float, default=_KILL_S, metavar="SECONDS")
    parser.add_argument("--outage-every", type=float, default=_OUTAGE_S, metavar="SECONDS")
    options = parser.parse_args(arguments)
    server = PostgresServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="sweepd-soak-") as folder:
            worlds = []
            for number, name in enumerate(("killed", "steady")):
                url = server.create_database()
                create_pipeline_tables(url)
                worlds.append(World(name, Path(folder), url, options.seed + number, cold=name == "steady"))
            return _soak(server, worlds[0], worlds[1], options)
    finally:
        server.remove()


def _soak(server: PostgresServer, killed: World, steady: World, options: argparse.Namespace) -> int:
    began = time.monotonic()
    end = began + options.minutes * 60
    stop = threading.Event()
    worlds = (killed, steady)
    actors = []
    for world in worlds:
        world.start()
        pipeline, people, readers, operator = Pipeline(world), People(world), Readers(world), Operator(world)
        actors += [
            Actor(world, pipeline.create, 0.3, stop),
            Actor(world, pipeline.restart, 1.0, stop),
            *(Actor(world, people.act, 0.5, stop) for _ in range(3)),
            *(Actor(world, readers.read, 0.3, stop) for _ in range(2)),
            Actor(world, operator.reload, 4.0, stop),
        ]
    assert steady.daemon is not None
    watch = Watch(steady, steady.daemon.process.pid, [])
    watch.look()
    for actor in actors:
        actor.start()
    outages = _accidents(server, killed, watch, end, options)
    stop.set()
    for actor in actors:
        actor.join(timeout=300)
        if actor.is_alive():
            killed.differ(f"{actor.name} does not end")
    watch.judge()
    for world in worlds:
        settle(world)
        world.stop()
        judge(world)
    minutes = (time.monotonic() - began) / 60
    print(_report(worlds, watch, outages, options, minutes))
    return 1 if any(world.differences for world in worlds) else 0


def _accidents(server: PostgresServer, killed: World, watch: Watch, end: float, options: argparse.Namespace) -> int:
    """Kill, stop the database, look; until the end. How many outages of the database there were."""
    outages = 0
    at = {"kill": options.kill_every, "outage": options.outage_every, "audit": _AUDIT_S, "sample": _SAMPLE_S}
    every = dict(at)
    start = time.monotonic()
    while time.monotonic() < end or not (outages and killed.counts["kills"]):  # on a busy machine, at least once
        time.sleep(0.1)
        due = [what for what, when in at.items() if time.monotonic() - start >= when]
        for what in due:
            at[what] += every[what]
            if what == "kill":
                killed.kill()
                look(killed)
                killed.start()
            elif what == "outage":
                server.stop("immediate" if outages % 2 else "fast")
                time.sleep(_AWAY_S)
                server.start()
                outages += 1
            elif what == "audit":
                look(killed)
                look(watch.world)
            else:
                watch.look()
    return outages


def _report(
    worlds: tuple[World, World], watch: Watch, outages: int, options: argparse.Namespace, minutes: float
) -> str:
    def row(what: str, values: Iterable[object]) -> str:
        return f"| {what} | {' | '.join(map(str, values))} |"

    names = sorted({name for world in worlds for name in world.counts})
    lines = [
        f"{minutes:.1f} minutes, seed {options.seed}, {outages} outages of the database",
        "",
        f"| what | {' | '.join(world.name for world in worlds)} |",
        "|---|---|---|",
        *(f"| {name} | {' | '.join(str(world.counts[name]) for world in worlds)} |" for name in names),
        *(
            f"| rows of sweepd_{table} | {' | '.join(str(_rows(world, table)) for world in worlds)} |"
            for table in _TABLES
        ),
        f"| **differences** | {' | '.join(str(len(world.differences)) for world in worlds)} |",
        "",
        "| the daemon that was never killed | begin | 1/4 | 1/2 | 3/4 | end |",
        "|---|---|---|---|---|---|",
        *watch.lines(),
    ]
    for world in worlds:
        lines += [f"DIFFERENCE {difference}" for difference in world.differences[:50]]
        if world.differences:  # the folder goes, and the reason with it
            lines += [f"LOGGED {line}" for line in _tracebacks(world)[:20]]
    return "\n".join(lines)


def _tracebacks(world: World) -> list[str]:
    """The events with a traceback in what its daemons logged."""
    logs = sorted(world.site.folder.glob("daemon-*.log"))
    lines = [line for log in logs for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return [line for line in lines if '"exception"' in line]


def _rows(world: World, table: str) -> int:
    return int(world.store.query(f"SELECT count(*) AS number FROM sweepd_{table}")[0]["number"])


if __name__ == "__main__":
    sys.exit(main())
