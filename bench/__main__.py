"""``make bench``: measures, prints a table with the targets, and writes ``bench-results.json``."""

from __future__ import annotations

import argparse
import logging
import tempfile
from contextlib import ExitStack
from pathlib import Path

import structlog

from bench import durable, hostile, image, inventory, lifetime, listing, liveness, memory, planning, reading, removal
from bench.report import Report
from support.postgres import PostgresServer

SECTIONS = (
    "removal",
    "durable",
    "liveness",
    "memory",
    "inventory",
    "planning",
    "listing",
    "reading",
    "hostile",
    "lifetime",
)


def main() -> None:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("var/bench"), help="where the trees are made")
    parser.add_argument(
        "--ext4", type=Path, help="work on a fresh ext4 in an image file in this folder, such as /dev/shm"
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, help="this section; again for more")
    parser.add_argument("--tree", default="", help="only trees with that in their name")
    parser.add_argument("--pairs", type=int, help="turns for each tree; by default some, fewer for large ones")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is the full size")
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"))
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chosen = options.only or SECTIONS
    report = Report()
    with ExitStack() as stack:
        server = PostgresServer()
        server.start()
        stack.callback(server.remove)
        where = options.folder if options.ext4 is None else stack.enter_context(image.mounted(options.ext4))
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where) as place:
            folder = Path(place).absolute()
            if "removal" in chosen:
                removal.run(report, folder, scale=options.scale, pairs=options.pairs, tree=options.tree)
            if "durable" in chosen:
                durable.run(report, folder, scale=options.scale, server=server)
            if "liveness" in chosen:
                liveness.run(report, folder, scale=options.scale, server=server)
            if "memory" in chosen:
                memory.run(report, folder, scale=options.scale)
            if "inventory" in chosen:
                inventory.run(report, folder, scale=options.scale, server=server)
            if "planning" in chosen:
                planning.run(report, folder, scale=options.scale, server=server)
            if "hostile" in chosen:
                hostile.run(report, folder, scale=options.scale, server=server)
            if "listing" in chosen:
                listing.run(report, folder, scale=options.scale, server=server)
            if "reading" in chosen:
                reading.run(report, folder, scale=options.scale, server=server)
            if "lifetime" in chosen:
                lifetime.run(report, folder, scale=options.scale, server=server)
    report.write(options.json, {"scale": options.scale, "pairs": options.pairs, "sections": list(chosen)})
    print(f"\n{report.table()}\n\nwritten to {options.json}")


if __name__ == "__main__":
    main()
