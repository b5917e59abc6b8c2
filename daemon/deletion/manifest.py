"""What a trash entry says of itself: enough to finish or undo the work without asking anybody.

No task's row is copied into it: ``parameters`` holds a password, and never leaves the database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from daemon import clock
from daemon.catalog.ledger import Entry
from daemon.deletion.models import What
from daemon.storage.identity import Identity
from daemon.storage.names import is_task_id

_VERSION: Final = 4
# One of version 2 says nothing of where and why a deletion was asked for; up to 3 a directory is [device, inode].
_READABLE: Final = frozenset({2, 3, _VERSION})


class Kind(StrEnum):
    """What an entry is for."""

    DELETE = "delete"  # directories on their way out
    PURGE = "purge"  # directories that have waited long enough
    RESTORE = "restore"  # one directory on its way back


@dataclass(frozen=True, slots=True)
class Item:
    """One deletion of an entry. ``directory`` is the one that a restore brings back."""

    entry: Entry
    directory: Identity | None = None

    @property
    def deletion_id(self) -> str:
        return self.entry.deletion_id

    @property
    def task_id(self) -> str:
        return self.entry.task_id

    @classmethod
    def from_json(cls, data: Any) -> Item:
        """Raises KeyError, TypeError or ValueError if ``data`` is not one."""
        directory = data["directory"]
        fields = {**data["deletion"]}
        purge_after = fields["purge_after"]
        fields["purge_after"] = None if purge_after is None else datetime.fromisoformat(purge_after)
        entry = Entry(**fields)
        if not all(isinstance(getattr(entry, name), kind) for kind, names in _KINDS for name in names):
            raise ValueError("not a deletion")
        if not is_task_id(entry.task_id):
            raise ValueError("not a task id")
        What(entry.what)
        if len(entry.deletion_id) != 28 or not entry.deletion_id.isalnum():  # it becomes the name of a directory
            raise ValueError("not a deletion id")
        return cls(entry, None if directory is None else _identity(directory))

    def to_json(self) -> dict[str, object]:
        fields: dict[str, object] = {name: getattr(self.entry, name) for name in Entry.__slots__}
        if self.entry.purge_after is not None:
            fields["purge_after"] = self.entry.purge_after.isoformat()
        return {"deletion": fields, "directory": None if self.directory is None else str(self.directory)}


@dataclass(frozen=True, slots=True)
class Manifest:
    """One entry as its manifest describes it."""

    kind: Kind
    entry_id: str
    root_id: str
    items: tuple[Item, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, object], entry_id: str, root_id: str) -> Manifest | None:
        """The manifest, or None if ``data`` is not one for this entry in this root."""
        if (data.get("entry_id"), data.get("root_id")) != (entry_id, root_id):
            return None
        try:
            if data["version"] not in _READABLE:
                return None
            kind = Kind(str(data["kind"]))
            items = data["deletions"]
            if not isinstance(items, list) or not items:
                return None
            return cls(kind, entry_id, root_id, tuple(Item.from_json(item) for item in items))
        except (KeyError, TypeError, ValueError):
            return None

    def to_json(self) -> dict[str, object]:
        return {
            "version": _VERSION,
            "kind": self.kind,
            "entry_id": self.entry_id,
            "root_id": self.root_id,
            "written_at": clock.now().isoformat(),
            "deletions": [item.to_json() for item in self.items],
        }

    def entries(self) -> Sequence[Entry]:
        """The deletions as the journal keeps them."""
        return [item.entry for item in self.items]


def names(manifest: Mapping[str, object]) -> list[tuple[str, str]]:
    """Deletion and task ids in what may be a manifest of any entry; empty if it is none."""
    found = []
    items = manifest.get("deletions")
    for item in items if isinstance(items, list) else ():
        try:
            found.append((str(item["deletion"]["deletion_id"]), str(item["deletion"]["task_id"])))
        except (KeyError, TypeError):
            continue
    return found


def _identity(data: Any) -> Identity:
    if isinstance(data, str):
        return Identity.parse(data)
    _, inode = map(int, data)
    return Identity(inode)


_KINDS: Final = (
    (str, ("deletion_id", "task_id", "what", "trigger", "initiator")),
    (str | None, ("policy", "sweep_id", "client", "request_id", "plan_digest", "reason", "job_id")),
    (bool, ("forced", "directory_deleted", "records_deleted")),
)
