"""Holds real answers against what the operation says of them: status, codes, keys and types."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence

from yarl import URL

from daemon.web.errors import RULES, ApiCode
from daemon.web.operations import Operation
from daemon.web.responses import ERROR, JSON, errors_of

_ENVELOPE = {"success", "code", "message", "data"}
_NOWHERE = {
    ApiCode.ROUTE_NOT_FOUND,
    ApiCode.METHOD_NOT_ALLOWED,
    ApiCode.BAD_REQUEST,
    ApiCode.EXPECTATION_FAILED,
    ApiCode.HOST_NOT_ALLOWED,
    ApiCode.ORIGIN_NOT_ALLOWED,
    ApiCode.UNAUTHORIZED,
    ApiCode.TOKEN_EXPIRED,
    ApiCode.INSUFFICIENT_SCOPE,
}
"""What an address can answer that is not there."""
_PLACEHOLDER = re.compile(r"\{(\w+)(?::((?:[^{}]|\{[^{}]*\})*))?\}")


def check_answer(
    operations: Sequence[Operation], method: str, url: URL, status: int, headers: Mapping[str, str], raw: bytes
) -> None:
    """Fails unless the operation at the address describes such an answer."""
    operation = _find(operations, "GET" if method == "HEAD" else method, url.path)
    media_type = headers.get("Content-Type", "").partition(";")[0]
    if status >= 400:
        codes = errors_of(operation) if operation else _NOWHERE
        _check_error(codes, method, status, headers, raw)
        return
    assert operation is not None, f"{method} {url.path} answers {status} and is described nowhere"
    if media_type in operation.media:
        return
    if not raw and status in operation.answers and operation.answers[status] is None:
        return
    assert media_type == JSON
    assert status in operation.answers, f"{method} {operation.public_path} says nothing of an answer {status}"
    if method == "HEAD":
        return
    body = json.loads(raw)
    beside = operation.beside.model_fields if operation.beside else {}
    assert set(body) == _ENVELOPE | set(beside)
    model = operation.answers[status]
    assert model is not None, f"{method} {operation.public_path} answers {status} with a body"
    model.model_validate_json(json.dumps(body["data"]), strict=True)
    if operation.beside:
        operation.beside.model_validate_json(json.dumps({name: body[name] for name in beside}), strict=True)


def _check_error(codes: Collection[str], method: str, status: int, headers: Mapping[str, str], raw: bytes) -> None:
    if method == "HEAD":
        return
    body = json.loads(raw)
    code = body["error_code"]
    assert code in codes, f"answered {code}, which is not among {sorted(codes)}"
    assert RULES[code].status == status
    assert set(RULES[code].headers) <= set(headers)
    assert set(ERROR["required"]) <= set(body) <= set(ERROR["properties"])


def _find(operations: Sequence[Operation], method: str, path: str) -> Operation | None:
    for operation in operations:
        if operation.method == method and re.fullmatch(_pattern(operation.path), path):
            return operation
    return None


def _pattern(path: str) -> str:
    pieces, end = [], 0
    for found in _PLACEHOLDER.finditer(path):
        pieces += [re.escape(path[end : found.start()]), f"(?:{found[2] or '[^{}/]+'})"]
        end = found.end()
    return "".join([*pieces, re.escape(path[end:])])
