"""One database, one storage root, one server of children: what a share of the points is tried on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from support.processes import ForkServer
from support.site import opened
from support.stores import Store
from torture.checks import Lane
from torture.points import Point, Tried, attempt

# So many points are tried in however little time, besides rules and mutants.
_AT_LEAST = 5


@contextmanager
def lane(kind: str, url: str, folder: Path, server_port: int | None) -> Iterator[Lane]:
    """A ready database and storage root of their own, and a server of children."""
    folder.mkdir(parents=True)
    store = Store(url)
    server = ForkServer()
    try:
        with opened(store, folder / "root") as site:
            site.init()
            yield Lane(kind, site, server, server_port)
    finally:
        server.close()


def work(kind: str, url: str, port: int | None, folder: str, points: list[Point], until: float | None) -> list[Tried]:
    """One lane's share, in a process of its own."""
    quiet()
    done: list[Tried] = []
    others = 0
    with lane(kind, url, Path(folder), port) as one:
        for point in points:
            if point.kind not in ("rule", "mutant"):
                if until is not None and time.time() > until and others >= _AT_LEAST:
                    break
                others += 1
            done.append(attempt(one, point))
    return done


def quiet() -> None:
    """No log: what is tried here fails on purpose."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
