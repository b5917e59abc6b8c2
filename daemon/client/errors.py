"""What a call can raise: one root, one class for each family of answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """The root; ``str()`` is one line that says what to do."""


class BadSetting(ClientError, ValueError):
    """An address, token, language or file of authorities that cannot be: no client was made."""


class BadName(ClientError, ValueError):
    """An empty name, ``.`` or ``..``: as a part of an address it would be another one. Nothing was sent."""


class BadTaskId(BadName):
    """It was to be a task id."""

    error_code = "INVALID_TASK_ID"
    """What the API answers to any other text that is none."""


class Unreachable(ClientError):
    """Nothing answered: refused, no such host or socket, a certificate that is not trusted, a connection cut off."""


class TimedOut(Unreachable):
    """No answer in time. What was asked for may still go on, unless it only reads."""


class UnexpectedAnswer(ClientError):
    """Something answered that is not sweepd: a redirect, a proxy's page, not the API's JSON."""


class ApiError(ClientError):
    """The API refused or failed. ``data`` and ``body`` are as it answered; ``retry_after`` is in seconds."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.body: dict[str, Any] = dict(body)
        self.error_code = str(body.get("error_code", "UNKNOWN"))
        self.message = str(body.get("message", ""))
        self.hint: str | None = body.get("hint")
        self.data: dict[str, Any] = dict(body.get("data") or {})
        self.request_id: str | None = body.get("request_id")
        self.retry_after = retry_after
        reason = self.data.get("reason")
        said = f"{self.message} ({reason})" if isinstance(reason, str) and reason not in self.message else self.message
        super().__init__(": ".join(part for part in (said, self.hint) if part))


class InvalidRequest(ApiError):
    """400 and its neighbours: the request itself is wrong."""


class Unauthorized(ApiError):
    """401: no token, or one that is not known."""


class Forbidden(ApiError):
    """403: the token lacks a scope, or the file system or a rule of safety refuses."""


class NotFound(ApiError):
    """404: no such task, deletion, hold, policy, plan, sweep, job or address."""


class Conflict(ApiError):
    """409: running, held, changed, busy, or not in a state for it."""


class TooManyRequests(ApiError):
    """429: come back after ``retry_after`` seconds."""


class Failed(ApiError):
    """500: the deletion failed, ``data`` says where; or a bug."""


class Unavailable(ApiError):
    """503: starting, stopping, or database or storage root are away; come back after ``retry_after`` seconds."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: TooManyRequests,
    503: Unavailable,
}


def api_error(status: int, body: Mapping[str, Any], retry_after: float | None) -> ApiError:
    """The error of an answer, in its family's class."""
    family = _BY_STATUS.get(status, Failed if status >= 500 else InvalidRequest)
    return family(status, body, retry_after)
