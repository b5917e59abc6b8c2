"""Keeps the audit file, if the configuration names one, up with the journal."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from daemon import log
from daemon.app.services import Services
from daemon.config import Config
from daemon.deletion.audit_file import AuditFile
from daemon.errors import SweepdError

_log = log.get(__name__)
_LOOK_S = 1.0
_GOODBYE_S = 5.0


class Auditing:
    """One thread. ``config`` gives that in force; a reload may name another file."""

    def __init__(self, services: Services, config: Callable[[], Config]) -> None:
        self._catalog = services.catalog
        self._config = config
        self._file: AuditFile | None = None
        self._path: Path | None = None
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
        path = self._config().audit.file
        if self._file is None or path != self._path:
            if self._file is not None:
                self._file.close()
            self._file, self._path = None if path is None else AuditFile(self._catalog, path), path
        if self._file is None:
            return
        try:
            self._file.write()
        except SweepdError:  # the catalog, which is watched, and told of, elsewhere
            return
        except Exception:
            _log.exception("auditing_crashed")
