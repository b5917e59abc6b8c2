"""Every error sweepd raises on purpose: one root, few leaves, each says what to do next.

``code`` is the machine-readable name that the HTTP API answers as ``error_code``, that the log carries
as ``error`` and that the command line turns into its exit status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class ErrorCode(StrEnum):
    """Stable names of everything that can be refused or fail."""

    INVALID_DOCUMENT = "INVALID_DOCUMENT"
    INVALID_TASK_ID = "INVALID_TASK_ID"
    TASK_NOT_FOUND = "TASK_NOT_FOUND"
    TASK_RUNNING = "TASK_RUNNING"
    TASK_CHANGED = "TASK_CHANGED"
    TASK_BUSY = "TASK_BUSY"
    TASK_HELD = "TASK_HELD"
    INVALID_HOLD = "INVALID_HOLD"
    HOLD_NOT_FOUND = "HOLD_NOT_FOUND"
    RECORDS_IN_USE = "RECORDS_IN_USE"
    DELETION_NOT_FOUND = "DELETION_NOT_FOUND"
    NOT_RESTORABLE = "NOT_RESTORABLE"
    RESTORE_CONFLICT = "RESTORE_CONFLICT"
    UNSAFE_DIRECTORY = "UNSAFE_DIRECTORY"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    DELETION_FAILED = "DELETION_FAILED"
    ROOT_UNAVAILABLE = "ROOT_UNAVAILABLE"
    CATALOG_UNAVAILABLE = "CATALOG_UNAVAILABLE"
    CATALOG_NOT_READY = "CATALOG_NOT_READY"
    CATALOG_ROLLED_BACK = "CATALOG_ROLLED_BACK"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    JOB_ENDED = "JOB_ENDED"
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    PLAN_NOT_FOUND = "PLAN_NOT_FOUND"
    PLAN_OUTDATED = "PLAN_OUTDATED"
    SWEEP_NOT_FOUND = "SWEEP_NOT_FOUND"
    SWEEP_RUNNING = "SWEEP_RUNNING"
    SCAN_RUNNING = "SCAN_RUNNING"
    CLOCK_UNRELIABLE = "CLOCK_UNRELIABLE"
    CATALOG_EMPTY = "CATALOG_EMPTY"
    CATALOG_MISMATCH = "CATALOG_MISMATCH"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    POLICY_SUSPENDED = "POLICY_SUSPENDED"
    STARTUP_REFUSED = "STARTUP_REFUSED"
    RELOAD_REFUSED = "RELOAD_REFUSED"


class SweepdError(Exception):
    """The root of all errors raised on purpose; ``str()`` is one English line that says what to do."""

    code: ErrorCode = ErrorCode.DELETION_FAILED

    def __init__(
        self, message: str, *, code: ErrorCode | None = None, details: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.details: dict[str, object] = dict(details or {})


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a YAML document; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class DocumentError(SweepdError):
    """A configuration or policy file is wrong; ``problems`` holds every mistake, not just the first."""

    code = ErrorCode.INVALID_DOCUMENT

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        message = "\n".join(str(problem) for problem in self.problems)
        super().__init__(message, details={"problems": [asdict(problem) for problem in self.problems]})


class TaskRefused(SweepdError):
    """One task is not deleted; ``code`` says why and ``details`` carries what the API shows."""


class RootUnavailable(SweepdError):
    """The storage root is missing, unmarked, swapped or not mounted. Nothing may be inferred from its content."""

    code = ErrorCode.ROOT_UNAVAILABLE


class CatalogUnavailable(SweepdError):
    """The database cannot be reached, or did not answer in time; the same call may succeed later."""

    code = ErrorCode.CATALOG_UNAVAILABLE


class CatalogNotReady(SweepdError):
    """The database answers, but lacks the tables or the schema version sweepd needs."""

    code = ErrorCode.CATALOG_NOT_READY


class CatalogRolledBack(CatalogNotReady):
    """The database does not know what was committed to it: it was put back from a backup, or is another one."""

    code = ErrorCode.CATALOG_ROLLED_BACK


class StartupRefused(SweepdError):
    """A command cannot begin: the configuration asks for something unsafe, or another daemon is there."""

    code = ErrorCode.STARTUP_REFUSED


class SweepRefused(SweepdError):
    """A sweep did not begin, or stopped before its first deletion."""
