"""A client of the HTTP API: ``Client("http://127.0.0.1:8084")``. It imports nothing of the daemon itself.

>>> with Client("http://127.0.0.1:8084") as client:
...     client.delete("task_20250702_173932", retain="7d")
"""

from __future__ import annotations

from daemon.client.client import Client
from daemon.client.errors import (
    ApiError,
    BadName,
    BadSetting,
    BadTaskId,
    ClientError,
    Conflict,
    Failed,
    Forbidden,
    InvalidRequest,
    NotFound,
    TimedOut,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
)
from daemon.client.server_events import Event

__all__ = [
    "ApiError",
    "BadName",
    "BadSetting",
    "BadTaskId",
    "Client",
    "ClientError",
    "Conflict",
    "Event",
    "Failed",
    "Forbidden",
    "InvalidRequest",
    "NotFound",
    "TimedOut",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "UnexpectedAnswer",
    "Unreachable",
]
