"""Scans in processes of their own, to be killed or to have something mounted; started by ``support.processes``."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from daemon.deletion.doubt import tasks_in_doubt
from daemon.inventory.scan import Progress, Scanner
from support import mounts
from support.site import Site
from support.stores import Store
from support.trees import fill

RECOUNT = timedelta(days=7)


def make_scanner(site: Site, recount: timedelta = RECOUNT) -> Scanner:
    return Scanner(site.root, site.catalog, site.workers, site.metrics, recount=recount, in_doubt=tasks_in_doubt)


def scan_and_die(url: str, path: str, directories: int) -> None:
    """Scan until so many directories are written, then kill -9 oneself."""

    def die(progress: Progress) -> None:
        if progress.directories >= directories:
            os.kill(os.getpid(), signal.SIGKILL)

    make_scanner(Site(Store(url), Path(path))).scan(die)


def scan_with_mounts(folder: str) -> dict[str, Any]:
    """Mount something in the place of one task directory and inside another one, and scan."""
    mounts._private_table()
    site = Site(Store(f"sqlite:///{folder}/catalog.sqlite"), Path(folder) / "root")
    site.init()
    for name in ("task_whole", "task_mounted", "task_inside"):
        fill(site.path / name, 4)
    for place in ("task_mounted", "task_inside/empty"):
        mounts._mount("none", str(site.path / place), "tmpfs", 0)
    scan = make_scanner(site).scan()
    assert scan is not None
    rows = site.store.query("SELECT task_id, files, error FROM sweepd_inventory ORDER BY task_id")
    return {"directories": scan.directories, "rows": [list(row.values()) for row in rows]}


def scan_covered(folder: str, swapped: bool) -> dict[str, Any]:
    """Scan, cover the root with an empty file system or with another marked root, and scan again."""
    mounts._private_table()
    site = Site(Store(f"sqlite:///{folder}/catalog.sqlite"), Path(folder) / "root")
    site.init()
    fill(site.path / "task_1", 4)
    scanner = make_scanner(site)
    scanner.scan()
    before = site.store.query("SELECT * FROM sweepd_inventory")
    mounts._mount("none", str(site.path), "tmpfs", 0)
    if swapped:
        (site.path / ".sweepd").mkdir()
        (site.path / ".sweepd" / "root.json").write_text('{"id": "another", "version": 1}', encoding="utf-8")
    error = None
    try:
        scanner.scan()
    except Exception as caught:
        error = type(caught).__name__
    return {"error": error, "same": site.store.query("SELECT * FROM sweepd_inventory") == before and len(before) == 1}
