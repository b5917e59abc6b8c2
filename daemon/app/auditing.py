"""Keeps the audit file, if the configuration names one, up with the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from daemon import clock, log
from daemon.catalog.catalog import Catalog
from daemon.deletion.audit_file import AuditFile
from daemon.errors import SweepdError
from daemon.metrics.registry import Metrics

_log = log.get(__name__)
_LOOK_S = 1.0
_GOODBYE_S = 5.0


class Auditing:
    """One thread. ``named`` gives the file of the configuration in force, None if it names none."""

    def __init__(self, catalog: Catalog, metrics: Metrics, named: Callable[[], Path | None]) -> None:
        self._catalog = catalog
        self._named = named
        self._file: AuditFile | None = None
        self._path: Path | None = None
        self._behind_since: float | None = None
        metrics.health.watch_audit_file(self._behind_s)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="auditing", daemon=True)

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._thread.start()

    def stop(self) -> None:
        """Write what there is, and end. A file system that hangs is not waited for: the next start catches up."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_GOODBYE_S)

    def _work(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            self._write()
        self._write()

    def _write(self) -> None:
        path = self._named()
        if self._file is None or path != self._path:
            if self._file is not None:
                self._file.close()
            self._file, self._path = None if path is None else AuditFile(self._catalog, path), path
            self._behind_since = None
        if self._file is None:
            return
        before = self._behind_since
        if before is None:  # noted at the beginning: a file system that hangs lets nothing be noted later
            self._behind_since = clock.monotonic()
        try:
            self._file.write()
        except SweepdError:  # the catalog, which is watched, and told of, elsewhere
            self._behind_since = before
        except Exception:
            _log.exception("auditing_crashed")
        else:
            if not self._file.failed:
                self._behind_since = None

    def _behind_s(self) -> float | None:
        since = self._behind_since
        if self._named() is None:
            return None
        return 0.0 if since is None else clock.monotonic() - since
