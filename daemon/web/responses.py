"""The answers of an operation, successes and errors, as OpenAPI 3.1 describes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel

from daemon.errors import ErrorCode
from daemon.web.errors import RULES, ApiCode
from daemon.web.messages import MESSAGES, Language
from daemon.web.operations import Operation

Json = dict[str, Any]

JSON: Final = "application/json"
TEXT: Final[Json] = {"type": "string"}
_STRUCTURED: Final = (JSON, "text/event-stream")  # a schema of events is about each of them, which is an object
_ALWAYS: Final = (
    ApiCode.BAD_REQUEST,
    ApiCode.HOST_NOT_ALLOWED,
    ApiCode.ORIGIN_NOT_ALLOWED,
    ApiCode.EXPECTATION_FAILED,
    ApiCode.INTERNAL_ERROR,
)
_WITH_SCOPE: Final = (ApiCode.UNAUTHORIZED, ApiCode.TOKEN_EXPIRED, ApiCode.INSUFFICIENT_SCOPE)
_WITH_BODY: Final = (
    ApiCode.INVALID_BODY,
    ApiCode.MISSING_PARAMETER,
    ApiCode.UNKNOWN_PARAMETER,
    ApiCode.INVALID_PARAMETER,
    ApiCode.BODY_TIMEOUT,
    ApiCode.BODY_TOO_LARGE,
    ApiCode.UNSUPPORTED_MEDIA_TYPE,
)
_SUCCESS: Final = {
    200: "It was done, or this is what was asked for.",
    201: "It was made.",
    204: "There is nothing more to come.",
    202: "It goes on in the background: look at `Location`.",
}

HEADERS: Final[Json] = {
    "X-Request-Id": {
        "description": "The request's id, in the lines of the log that it caused as well.",
        "required": True,
        "schema": {**TEXT, "pattern": "^[0-9a-f]{32}$"},
    },
    "Content-Language": {
        "description": "The language of `message`: Accept-Language decides.",
        "schema": {"enum": [str(language) for language in Language]},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "What the server wants to see.", "schema": TEXT},
    "Location": {"description": "Where it can be watched.", "required": True, "schema": TEXT},
}
ERROR: Final[Json] = {
    "description": "Any error: `message` is for people, `error_code` for programs; `data` says more if there is more.",
    "type": "object",
    "required": ["success", "code", "message", "error_code", "hint", "request_id"],
    "properties": {
        "success": {"const": False},
        "code": {"type": "integer", "description": "The HTTP status."},
        "message": TEXT,
        "error_code": TEXT,
        "hint": {**TEXT, "description": "What to do next."},
        "request_id": {**TEXT, "description": "The same as in X-Request-Id, unless the answer was kept for a retry."},
        "data": {"type": "object"},
        "missing_params": {"type": "array", "items": TEXT},
        "unknown_params": {"type": "array", "items": TEXT},
    },
}


def errors_of(operation: Operation) -> list[ErrorCode | ApiCode]:
    """Every code the operation can answer, those included that follow from its scope, query and body."""
    return [
        *_ALWAYS,
        *(_WITH_SCOPE if operation.scope else ()),
        *(_WITH_BODY if operation.body else ()),
        *((ApiCode.INVALID_PARAMETER,) if operation.query and not operation.body else ()),
        *((ApiCode.UNKNOWN_PARAMETER,) if operation.scope and not operation.body else ()),
        *operation.errors,
    ]


def successes(operation: Operation, references: Mapping[type[BaseModel], Json]) -> Json:
    """Every answer that is not an error, by status."""
    described: Json = {}
    for status, data in operation.answers.items():
        headers = _headers("Location") if status == 202 else _headers()
        described[str(status)] = {"description": _SUCCESS[status], "headers": headers}
        if data is not None:
            schema = _envelope(status, references[data], operation, references)
            described[str(status)]["content"] = {JSON: {"schema": schema}}
    other = {media: {"schema": {} if media in _STRUCTURED else TEXT} for media in operation.media}
    if other:
        first = described.setdefault("200", {"description": _SUCCESS[200], "headers": _headers(), "content": {}})
        first["content"] = {**first["content"], **other}
    for status in operation.answers if operation.links else ():
        described[str(status)]["links"] = {name: _link(name, values) for name, values in operation.links.items()}
    return described


def failures(operation: Operation) -> Json:
    """Every error by status, with the codes that it can have there."""
    codes: defaultdict[int, list[ErrorCode | ApiCode]] = defaultdict(list)
    for code in dict.fromkeys(errors_of(operation)):
        codes[RULES[code].status].append(code)
    return {str(status): _failure(codes[status]) for status in sorted(codes)}


def _failure(codes: Iterable[ErrorCode | ApiCode]) -> Json:
    names = [str(code) for code in codes]
    said = "; ".join(f"`{name}`: {MESSAGES[name].en}" for name in names)
    headers = {header for name in names for header in RULES[name].headers}
    schema = {"allOf": [_ref("schemas", "Error"), {"properties": {"error_code": {"enum": names}}}]}
    return {"description": said, "headers": _headers(*sorted(headers)), "content": {JSON: {"schema": schema}}}


def _envelope(status: int, data: Json, operation: Operation, references: Mapping[type[BaseModel], Json]) -> Json:
    own: Json = {
        "type": "object",
        "required": ["success", "code", "message", "data"],
        "properties": {"success": {"const": True}, "code": {"const": status}, "message": TEXT, "data": data},
    }
    return own if operation.beside is None else {"allOf": [own, references[operation.beside]]}


def _link(name: str, values: Mapping[str, str]) -> Json:
    places = {key: at if at.startswith("$") else f"$response.body#/data/{at}" for key, at in values.items()}
    return {"operationId": name, "parameters": places}


def _headers(*more: str) -> Json:
    return {name: _ref("headers", name) for name in ("X-Request-Id", "Content-Language", *more)}


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}
