"""The audit trail as a file. The journal is the truth: the file follows it, and catches up with whatever it missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from daemon import log
from daemon.catalog import audit
from daemon.catalog.catalog import Catalog
from daemon.catalog.ledger import Record
from daemon.deletion.audit_trail import document
from daemon.storage.append_only import AppendOnly

_log = log.get(__name__)

_AT_ONCE: Final = 500
# More than the lines of one batch take: what was written and not noted is among them.
_TAIL_BYTES: Final = 4 << 20


class AuditFile:
    """One file. Blocking, for one thread."""

    def __init__(self, catalog: Catalog, path: Path) -> None:
        self._catalog = catalog
        self._file = AppendOnly(path)
        self._known: set[tuple[str, str]] | None = None
        self.failed = False
        """Whether the last call of ``write`` left lines out because the file cannot be written."""

    def write(self) -> int:
        """Write what the journal has and the file has not; how many lines. Raises CatalogUnavailable, CatalogNotReady.

        A file that cannot be written is told once, and keeps no deletion waiting: it is tried again at the next call.
        """
        lines = 0
        while True:
            with self._catalog.read() as session:
                found = audit.unwritten(session.connection, _AT_ONCE)
            if not found:
                self.failed = False
                return lines
            try:
                lines += self._append(found)
            except OSError as error:
                # After a failed sync a second one may say that all is there: to write it twice is better.
                self._known = set() if self._file.is_doubtful else None
                if not self.failed:
                    self.failed = True
                    _log.error("audit_file_failed", file=str(self._file.path), reason=error.strerror or str(error))
                return lines
            if self.failed:
                self.failed = False
                _log.info("audit_file_written", file=str(self._file.path), lines=len(found))
            with self._catalog.write() as session:
                audit.written(session.connection, found)
            self._known = set()

    def close(self) -> None:
        """Until it is needed again."""
        self._file.close()

    def _append(self, found: list[Record]) -> int:
        """How many of these were not there yet: what was written just before a crash is not noted in the journal."""
        if self._known is None:
            self._known = {key for line in self._file.tail(_TAIL_BYTES) if (key := _key(line)) is not None}
            if not self._known.isdisjoint(map(_key_of, found)):
                self._file.sync()  # before they count as written
        new = [record for record in found if _key_of(record) not in self._known]
        if new:
            # ASCII: no line ends before its end, by any rule of what ends a line
            self._file.append("".join(f"{json.dumps(document(record))}\n" for record in new))
            # should the journal not take the note, they are there all the same
            self._known |= {_key_of(record) for record in new}
        return len(new)


def _key_of(record: Record) -> tuple[str, str]:
    return record.entry.deletion_id, str(record.state)


def _key(line: str) -> tuple[str, str] | None:
    try:
        found = json.loads(line)
        return str(found["deletion_id"]), str(found["state"])
    except (ValueError, KeyError, TypeError):  # a line that was cut off
        return None
