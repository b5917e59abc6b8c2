"""What a trash entry says of itself: enough to finish or undo the deletion without asking anybody.

The task's row is not copied into it: ``parameters`` holds a password, and never leaves the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from daemon import clock
from daemon.catalog.ledger import Entry
from daemon.deletion.models import Request, What
from daemon.storage.names import is_task_id


@dataclass(frozen=True, slots=True)
class Manifest:
    """One deletion as its manifest describes it."""

    deletion_id: str
    task_id: str
    root_id: str
    what: str
    trigger: str
    initiator: str
    policy: str | None
    sweep_id: str | None
    forced: bool
    has_row: bool
    has_directory: bool
    written_at: str

    @classmethod
    def of(
        cls, request: Request, deletion_id: str, root_id: str, *, has_row: bool, has_directory: bool = True
    ) -> Manifest:
        return cls(
            deletion_id=deletion_id,
            task_id=request.task_id,
            root_id=root_id,
            what=request.what,
            trigger=request.trigger,
            initiator=request.initiator,
            policy=request.policy,
            sweep_id=request.sweep_id,
            forced=request.force,
            has_row=has_row,
            has_directory=has_directory,
            written_at=clock.now().isoformat(),
        )

    @classmethod
    def from_json(cls, data: Mapping[str, object], deletion_id: str, root_id: str) -> Manifest | None:
        """The manifest, or None if ``data`` is not one for this deletion in this root."""
        if data.get("version") != 1 or {*data} != {*cls.__slots__, "version"}:
            return None
        if not all(isinstance(data[name], kind) for kind, names in _KINDS for name in names):
            return None
        values = {name: data[name] for name in cls.__slots__}
        manifest = cls(**values)  # type: ignore[arg-type]  # checked above
        if (manifest.deletion_id, manifest.root_id) != (deletion_id, root_id) or manifest.what not in list(What):
            return None
        return manifest if is_task_id(manifest.task_id) else None

    def to_json(self) -> dict[str, object]:
        return {**asdict(self), "version": 1}

    @property
    def records_deleted(self) -> bool:
        return self.has_row and What(self.what).records

    def ledger_entry(self) -> Entry:
        return Entry(
            deletion_id=self.deletion_id,
            task_id=self.task_id,
            what=self.what,
            trigger=self.trigger,
            initiator=self.initiator,
            policy=self.policy,
            sweep_id=self.sweep_id,
            forced=self.forced,
            directory_deleted=self.has_directory,
            records_deleted=self.records_deleted,
        )


_KINDS = (
    (str, ("deletion_id", "task_id", "root_id", "what", "trigger", "initiator", "written_at")),
    (str | None, ("policy", "sweep_id")),
    (bool, ("forced", "has_row", "has_directory")),
)
