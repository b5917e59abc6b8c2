"""Why a task was not deleted, as the journal of jobs keeps it: enough to tell it in any language later."""

from __future__ import annotations

import json

from daemon.errors import ErrorCode, SweepdError, TaskRefused

_TYPES: dict[str, type[SweepdError]] = {"task": TaskRefused, "other": SweepdError}


def to_json(error: Exception) -> str:
    """The error as text; of a bug no more than that it was one."""
    if not isinstance(error, SweepdError):
        return json.dumps(None)
    kind = "task" if isinstance(error, TaskRefused) else "other"
    return json.dumps({"type": kind, "code": error.code, "message": str(error), "details": error.details})


def from_json(text: str) -> Exception:
    """The error again."""
    values = json.loads(text)
    if values is None:
        return RuntimeError("a bug, told in the log when it happened")
    return _TYPES[values["type"]](values["message"], code=ErrorCode(values["code"]), details=values["details"])


def code(text: str) -> str | None:
    """The error's code; None of a bug."""
    values = json.loads(text)
    return None if values is None else str(values["code"])
