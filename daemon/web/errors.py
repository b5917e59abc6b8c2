"""From errors to HTTP: the one table of status codes and headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from daemon.errors import ErrorCode, SweepdError, SweepRefused, TaskRefused
from daemon.web import hints
from daemon.web.messages import Language, text

_RETRY: Final = {"Retry-After": "5"}


class ApiCode(StrEnum):
    """What only a request can get wrong; answered as ``error_code`` like the codes of ``daemon.errors``."""

    BAD_REQUEST = "BAD_REQUEST"
    INVALID_BODY = "INVALID_BODY"
    MISSING_PARAMETER = "MISSING_PARAMETER"
    UNKNOWN_PARAMETER = "UNKNOWN_PARAMETER"
    INVALID_PARAMETER = "INVALID_PARAMETER"
    UNAUTHORIZED = "UNAUTHORIZED"
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105  # no secret
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    HOST_NOT_ALLOWED = "HOST_NOT_ALLOWED"
    ORIGIN_NOT_ALLOWED = "ORIGIN_NOT_ALLOWED"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    BODY_TIMEOUT = "BODY_TIMEOUT"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    EXPECTATION_FAILED = "EXPECTATION_FAILED"
    IDEMPOTENCY_KEY_IN_USE = "IDEMPOTENCY_KEY_IN_USE"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    TOO_MANY_REQUESTS = "TOO_MANY_REQUESTS"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    NOT_READY = "NOT_READY"
    STARTING = "STARTING"
    SHUTTING_DOWN = "SHUTTING_DOWN"


@dataclass(frozen=True, slots=True)
class Rule:
    """How one error is answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


RULES: Final[Mapping[str, Rule]] = {
    ErrorCode.INVALID_TASK_ID: Rule(400),
    ErrorCode.TASK_NOT_FOUND: Rule(404),
    ErrorCode.TASK_RUNNING: Rule(409),
    ErrorCode.TASK_CHANGED: Rule(409),
    ErrorCode.TASK_BUSY: Rule(409, _RETRY),
    ErrorCode.TASK_HELD: Rule(409),
    ErrorCode.INVALID_HOLD: Rule(400),
    ErrorCode.HOLD_NOT_FOUND: Rule(404),
    ErrorCode.RECORDS_IN_USE: Rule(409),
    ErrorCode.DELETION_NOT_FOUND: Rule(404),
    ErrorCode.NOT_RESTORABLE: Rule(409),
    ErrorCode.RESTORE_CONFLICT: Rule(409),
    ErrorCode.UNSAFE_DIRECTORY: Rule(403),
    ErrorCode.PERMISSION_DENIED: Rule(403),
    ErrorCode.DELETION_FAILED: Rule(500),
    ErrorCode.ROOT_UNAVAILABLE: Rule(503, _RETRY),
    ErrorCode.CATALOG_UNAVAILABLE: Rule(503, _RETRY),
    ErrorCode.CATALOG_NOT_READY: Rule(503, _RETRY),
    ErrorCode.CATALOG_ROLLED_BACK: Rule(503, _RETRY),
    ErrorCode.JOB_NOT_FOUND: Rule(404),
    ErrorCode.JOB_ENDED: Rule(409),
    ErrorCode.POLICY_NOT_FOUND: Rule(404),
    ErrorCode.PLAN_NOT_FOUND: Rule(404),
    ErrorCode.PLAN_OUTDATED: Rule(409),
    ErrorCode.SWEEP_NOT_FOUND: Rule(404),
    ErrorCode.SWEEP_RUNNING: Rule(409, _RETRY),
    ErrorCode.STARTUP_REFUSED: Rule(409),
    ErrorCode.RELOAD_REFUSED: Rule(409),
    ErrorCode.INVALID_DOCUMENT: Rule(422),
    ErrorCode.CLOCK_UNRELIABLE: Rule(503, _RETRY),
    ErrorCode.CATALOG_EMPTY: Rule(503, _RETRY),
    ErrorCode.CATALOG_MISMATCH: Rule(503, _RETRY),
    ErrorCode.POLICY_SUSPENDED: Rule(409),
    ApiCode.BAD_REQUEST: Rule(400),
    ApiCode.INVALID_BODY: Rule(400),
    ApiCode.MISSING_PARAMETER: Rule(400),
    ApiCode.UNKNOWN_PARAMETER: Rule(400),
    ApiCode.INVALID_PARAMETER: Rule(400),
    ApiCode.UNAUTHORIZED: Rule(401, {"WWW-Authenticate": 'Bearer realm="sweepd"'}),
    ApiCode.TOKEN_EXPIRED: Rule(
        401,
        {"WWW-Authenticate": 'Bearer realm="sweepd", error="invalid_token", error_description="expired"'},
    ),
    ApiCode.INSUFFICIENT_SCOPE: Rule(403),
    ApiCode.HOST_NOT_ALLOWED: Rule(403),
    ApiCode.ORIGIN_NOT_ALLOWED: Rule(403),
    ApiCode.ROUTE_NOT_FOUND: Rule(404),
    ApiCode.METHOD_NOT_ALLOWED: Rule(405),
    ApiCode.BODY_TIMEOUT: Rule(408),
    ApiCode.BODY_TOO_LARGE: Rule(413),
    ApiCode.UNSUPPORTED_MEDIA_TYPE: Rule(415),
    ApiCode.EXPECTATION_FAILED: Rule(417),
    ApiCode.IDEMPOTENCY_KEY_IN_USE: Rule(409, _RETRY),
    ApiCode.IDEMPOTENCY_KEY_REUSED: Rule(422),
    ApiCode.TOO_MANY_REQUESTS: Rule(429, _RETRY),
    ApiCode.INTERNAL_ERROR: Rule(500),
    ApiCode.NOT_READY: Rule(503, _RETRY),
    ApiCode.STARTING: Rule(503, _RETRY),
    ApiCode.SHUTTING_DOWN: Rule(503, _RETRY),
}

# What the descriptions of operations share. Whatever works on a thread may be SHUTTING_DOWN.
CATALOG: Final = (ErrorCode.CATALOG_UNAVAILABLE, ErrorCode.CATALOG_NOT_READY, ApiCode.SHUTTING_DOWN)
STARTED: Final = (*CATALOG, ApiCode.STARTING)
CHANGING: Final = (*STARTED, ErrorCode.CATALOG_ROLLED_BACK)
ROOT: Final = (ErrorCode.ROOT_UNAVAILABLE,)
# What deletions and restores take turns by, and how a retry is known.
ONCE: Final = (
    ApiCode.IDEMPOTENCY_KEY_IN_USE,
    ApiCode.IDEMPOTENCY_KEY_REUSED,
    ApiCode.TOO_MANY_REQUESTS,
)
DELETION: Final = (
    *CHANGING,
    *ROOT,
    ErrorCode.INVALID_TASK_ID,
    ErrorCode.TASK_NOT_FOUND,
    ErrorCode.TASK_RUNNING,
    ErrorCode.TASK_CHANGED,
    ErrorCode.TASK_BUSY,
    ErrorCode.TASK_HELD,
    ErrorCode.RECORDS_IN_USE,
    ErrorCode.UNSAFE_DIRECTORY,
    ErrorCode.PERMISSION_DENIED,
    ErrorCode.DELETION_FAILED,
)
RESTORE: Final = (
    *CHANGING,
    *ROOT,
    ErrorCode.INVALID_TASK_ID,
    ErrorCode.DELETION_NOT_FOUND,
    ErrorCode.NOT_RESTORABLE,
    ErrorCode.RESTORE_CONFLICT,
    ErrorCode.TASK_BUSY,
    ErrorCode.UNSAFE_DIRECTORY,
    ErrorCode.PERMISSION_DENIED,
    ErrorCode.DELETION_FAILED,
)
SWEEP: Final = (
    *CHANGING,
    *ROOT,
    ErrorCode.PLAN_NOT_FOUND,
    ErrorCode.PLAN_OUTDATED,
    ErrorCode.STARTUP_REFUSED,
    ErrorCode.SWEEP_RUNNING,
    ErrorCode.CLOCK_UNRELIABLE,
    ErrorCode.CATALOG_EMPTY,
    ErrorCode.CATALOG_MISMATCH,
    ErrorCode.POLICY_SUSPENDED,
)

# The contract fixes what these carry; the others also say in one English line what is wrong and what to do.
_WITHOUT_REASON: Final = frozenset({ErrorCode.TASK_RUNNING, ErrorCode.INVALID_TASK_ID})


class ApiError(Exception):
    """An answer that is not a success.

    ``values`` fill the message in; ``rule`` names a second message that fills its ``{rule}``. ``data`` and ``fields``
    (top level) go into the body as they are.
    """

    def __init__(
        self,
        code: ApiCode | ErrorCode,
        *,
        values: Mapping[str, object] | None = None,
        rule: str | None = None,
        data: Mapping[str, object] | None = None,
        fields: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.values = dict(values or {})
        self.rule = rule
        self.data = dict(data or {})
        self.fields = dict(fields or {})
        self.status = RULES[code].status
        self.headers = {**RULES[code].headers, **(headers or {})}

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later: it asks to come back, or met a bug."""
        return "Retry-After" in self.headers or self.code is ApiCode.INTERNAL_ERROR

    def message(self, language: Language) -> str:
        """What a person reads."""
        values = dict(self.values)
        if self.rule is not None:
            values["rule"] = text(self.rule, language, **values)
        return text(self.code, language, **values)

    def hint(self, language: Language) -> str:
        """What that person does next."""
        return hints.hint(self.code, language, self.values, self.data)


def explain(error: Exception, task_id: str | None = None) -> ApiError:
    """The answer to ``error``. What is not raised on purpose becomes INTERNAL_ERROR and tells nothing."""
    if isinstance(error, ApiError):
        return error
    if not isinstance(error, SweepdError) or error.code not in RULES:
        return ApiError(ApiCode.INTERNAL_ERROR)
    data = dict(error.details)
    rule = None
    if error.code is ErrorCode.TASK_HELD:
        rule = "HELD_BY" if "hold_id" in data else "HOLDS_NOT_LOOKED_UP"
    values = {"task_id": task_id, "state": data.get("state"), "owner": data.get("owner"), "reason": data.get("reason")}
    if isinstance(error, TaskRefused | SweepRefused) and error.code not in _WITHOUT_REASON:
        data.setdefault("reason", str(error))  # of what is held, why it is held
    return ApiError(error.code, values=values, rule=rule, data=data)
