"""Request bodies: strict JSON, known keys only, exact types. Nothing is converted and nothing is overlooked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Final, NoReturn, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.config import JsonDict, JsonValue

from daemon.deletion.hold_terms import GLOB, MOST_TEXT, check_pattern, check_text, parse_until
from daemon.policy.values import parse_duration
from daemon.storage.names import TASK_ID
from daemon.web.errors import ApiCode, ApiError

_SHOWN: Final = 80  # characters of a name the client made up
_DIGITS: Final = 100  # no number has any use here


# Not Literal[True], which takes 1 and 1.0 as well.
def _is_true(value: bool) -> bool:
    if not value:
        raise ValueError("must be true")
    return value


def _retain(value: object) -> timedelta | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be text")
    return parse_duration(value)


def _until(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("must be text")
    return parse_until(value)


def _described(kind: str, *examples: str) -> dict[str, object]:
    """What no keyword of JSON Schema says exactly has a format of its own, and may be null."""
    return {"anyOf": [{"type": "string", "format": kind, "examples": list(examples)}, {"type": "null"}]}


# JSON has no durations: text with a unit, as in a policy.
Retain: TypeAlias = Annotated[
    timedelta | None, BeforeValidator(_retain), WithJsonSchema(_described("duration-with-unit", "7d", "12h", "1d12h"))
]
Until: TypeAlias = Annotated[
    datetime | None,
    BeforeValidator(_until),
    WithJsonSchema(_described("future-date", "2026-12-31", "2026-12-31T18:00:00+08:00")),
]
Line: TypeAlias = Annotated[
    str,
    AfterValidator(check_text),
    WithJsonSchema({"type": "string", "format": "printable-line", "minLength": 1, "maxLength": MOST_TEXT}),
]
Confirmation: TypeAlias = Annotated[bool, AfterValidator(_is_true), WithJsonSchema({"type": "boolean", "const": True})]
Pattern: TypeAlias = Annotated[
    str, AfterValidator(check_pattern), WithJsonSchema({"type": "string", "pattern": f"^{GLOB.pattern}$"})
]
TaskId: TypeAlias = Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^{TASK_ID.pattern}$"})]


def _example(body: JsonDict, **schema: JsonValue) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [body], **schema})


def _given(*names: str) -> JsonDict:
    return {"required": list(names), "properties": {name: {"not": {"type": "null"}} for name in names}}


# Between its fields, as ``daemon.web.holds`` checks it.
_HOLD: Final[JsonDict] = {
    "oneOf": [_given("pattern"), _given("task_id")],
    "not": _given("until", "for"),
    "anyOf": [
        {"required": ["all_tasks"], "properties": {"all_tasks": {"const": True}}},
        {"properties": {"pattern": {"not": {"type": "string", "pattern": "^[*?]+$"}}}},
    ],
}


class Body(BaseModel):
    """Refuses unknown keys and any value that is not of the type itself."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SingleBody(Body):
    """What ``DELETE …/tasks/{task_id}`` takes."""

    model_config = _example({"confirm": True, "delete_database_records": False, "retain": "7d"})

    confirm: Confirmation
    delete_database_records: bool = False
    force: bool = False
    retain: Retain = None
    reason: Line | None = None
    asynchronous: bool = Field(default=False, alias="async")


class BatchBody(Body):
    """What ``DELETE …/tasks`` takes."""

    model_config = _example({"task_ids": ["task_20250702_173932", "task_20250702_174521"], "confirm": True})

    task_ids: list[str] = Field(min_length=1)
    confirm: Confirmation
    delete_database_records: bool = False
    force: bool = False
    continue_on_error: bool = True
    retain: Retain = None
    reason: Line | None = None
    asynchronous: bool = Field(default=False, alias="async")

    @property
    def distinct_ids(self) -> list[str]:
        """Each id once, in the order of its first occurrence."""
        return list(dict.fromkeys(self.task_ids))


class RestoreBody(Body):
    """What ``POST …/tasks/{task_id}/restore`` takes; the latest deletion if it names none."""

    model_config = _example({"deletion_id": "01a20af78867122da81d9664be29"})

    deletion_id: str | None = None


class HoldBody(Body):
    """What ``POST …/holds`` takes: one of ``pattern`` and ``task_id``, and at most one of ``until`` and ``for``."""

    model_config = _example({"pattern": "task_20250702_*", "reason": "an audit", "for": "30d"}, **_HOLD)

    pattern: Pattern | None = None
    task_id: TaskId | None = None
    reason: Line
    until: Until = None
    lasting: Retain = Field(default=None, alias="for")
    owner: Line | None = None
    all_tasks: bool = False


class NoBody(Body):
    """Nothing, or an empty object."""


class SweepBody(Body):
    """What ``POST …/policies/{name}/sweeps`` takes; ``plan`` is the digest of a stored one, ``retry`` has no pauses."""

    model_config = _example({"confirm": True, "plan": "3f786850e387550fdab836ed7e6dc881de23001b"})

    confirm: Confirmation
    plan: str | None = None
    retry: bool = False


_RULES: Final = {
    "confirm": "MUST_BE_TRUE",
    "task_ids": "MUST_BE_IDS",
    "retain": "MUST_BE_DURATION",
    "deletion_id": "MUST_BE_TEXT",
    "pattern": "MUST_BE_PATTERN",
    "task_id": "MUST_BE_TEXT",
    "reason": "MUST_BE_LINE",
    "until": "MUST_BE_DATE",
    "for": "MUST_BE_DURATION",
    "owner": "MUST_BE_LINE",
    "plan": "MUST_BE_TEXT",
}

_Model = TypeVar("_Model", bound=Body)


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``; an empty body is an empty object, so that the answer names what is missing.

    Raises ApiError (INVALID_BODY): malformed, not an object, a repeated key, NaN or Infinity, not Unicode, too deep.
    """
    if not body:
        return {}
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is text to nobody
    except RecursionError:
        raise _invalid("it is nested too deeply") from None
    except UnicodeError:
        raise _invalid("it is not Unicode text in UTF-8") from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    if not isinstance(value, dict):
        raise _invalid("it is not an object")
    return value


def check(model: type[_Model], values: dict[str, Any]) -> _Model:
    """``values`` as ``model``. Raises ApiError: UNKNOWN_PARAMETER, MISSING_PARAMETER or INVALID_PARAMETER."""
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    if strange := [name for name in values if name not in fields]:
        raise unknown(strange)
    required = (name for name, field in fields.items() if field.is_required())
    missing_ones = [name for name in required if values.get(name) is None]
    if missing_ones:
        raise missing(*missing_ones)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        name = str(error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"][0])
        raise invalid(name, _RULES.get(name, "MUST_BE_BOOLEAN")) from None


def unknown(names: Iterable[str], known: Sequence[str] = ()) -> ApiError:
    """Parameters that there are not; of one that looks like one of ``known``, that is told."""
    plain = [shown(name) for name in names]
    near = {name: found[0] for name in plain if (found := get_close_matches(name, known, 1))}
    return ApiError(
        ApiCode.UNKNOWN_PARAMETER,
        values={"parameters": ", ".join(plain)},
        fields={"unknown_params": plain},
        data={"did_you_mean": near} if near else None,
    )


def missing(*parameters: str) -> ApiError:
    """Parameters that have to be there."""
    names = ", ".join(parameters)
    return ApiError(
        ApiCode.MISSING_PARAMETER, values={"parameters": names}, fields={"missing_params": list(parameters)}
    )


def invalid(parameter: str, rule: str, **values: object) -> ApiError:
    """A parameter whose value breaks ``rule``, the key of the message that says what it must be."""
    return ApiError(
        ApiCode.INVALID_PARAMETER,
        values={"parameter": parameter, **values},
        rule=rule,
        data={"parameter": parameter},
    )


def shown(name: str) -> str:
    """A name the client made up, as any terminal takes it: escaped if it is not plain, and cut off."""
    plain = name if name.isascii() and name.isprintable() else ascii(name)[1:-1]
    return plain[:_SHOWN]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key appears twice in it")
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("a number in it is too large")
    return value


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError("a number in it is too large")
    return int(digits)


def _invalid(reason: str) -> ApiError:
    return ApiError(ApiCode.INVALID_BODY, data={"reason": reason})
