"""Queries of GET: models like those of the bodies, filled from text. What a model does not name is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import Annotated, Final, Protocol, TypeAlias, TypeVar

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo

from daemon.catalog.instants import parse_instant
from daemon.catalog.scans import Drift
from daemon.policy.models import Name
from daemon.web import bodies
from daemon.web.errors import ApiError

MOST_LIMIT: Final = 1000
"""Entries of one page."""


@dataclass(frozen=True, slots=True)
class Must:
    """In a field's metadata: the message that says what its values must be, and what fills it in."""

    rule: str
    values: tuple[tuple[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Many:
    """In a field's metadata: it may be given several times, which is the same as once with commas between."""


class Texts(Protocol):
    """What aiohttp calls a query."""

    def getall(self, key: str, default: list[str], /) -> list[str]: ...

    def keys(self) -> Iterable[str]: ...


def _digits(value: object) -> object:
    # pydantic would take `+1`, `1.0` and ` 1 ` as well.
    if isinstance(value, str) and not re.fullmatch("[0-9]{1,19}", value):
        raise ValueError("digits only")
    return value


def _flag(value: object) -> object:
    # pydantic would take `yes`, `on` and `1` as well.
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("true or false")
    return value


def _instant(value: str) -> str:
    parse_instant(value, UTC)
    return value


Whole: TypeAlias = Annotated[int, BeforeValidator(_digits)]
"""A whole number. Give its field ``ge`` and ``le``: the message names them."""

Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag), Must("MUST_BE_BOOLEAN")]

_InstantText: TypeAlias = Annotated[
    str,
    AfterValidator(_instant),
    WithJsonSchema({"type": "string", "format": "instant", "examples": ["2026-12-31", "2026-12-31T03:00:00+08:00"]}),
]
InstantText: TypeAlias = Annotated[_InstantText | None, Must("MUST_BE_DATE")]
"""A date or date-time for ``parse_instant``, which needs the pipeline's zone: text still, known to be one."""


class Query(BaseModel):
    """Each parameter at most once (unless it is Many), as text that its type understands."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NoQuery(Query):
    """Takes no parameter."""


class AtQuery(Query):
    """As of now, or of another moment."""

    at: InstantText = None


class PlanQuery(AtQuery):
    """What ``GET …/policies/{name}/plan`` takes."""

    limit: Whole = Field(100, ge=1, le=MOST_LIMIT)


class SweepsQuery(Query):
    """What ``GET …/sweeps`` takes."""

    policy: Annotated[Name | None, Must("MUST_BE_POLICY")] = None
    limit: Whole = Field(50, ge=1, le=MOST_LIMIT)


class HoldsQuery(Query):
    """What ``GET …/holds`` takes; ``all``: those that are over or released too."""

    all: Flag = False


class InventoryQuery(Query):
    """What ``GET …/inventory`` takes."""

    limit: Whole = Field(10, ge=0, le=MOST_LIMIT)
    drift: Annotated[Drift | None, Must("MUST_BE_DRIFT")] = None


_Model = TypeVar("_Model", bound=Query)


def check_query(model: type[_Model], query: Texts) -> _Model:
    """``query`` as ``model``.

    Raises ApiError: UNKNOWN_PARAMETER, and INVALID_PARAMETER for what is given twice, or not what its field takes.
    """
    known = [parameter.alias or name for name, parameter in model.model_fields.items()]
    if unknown := [name for name in dict.fromkeys(query.keys()) if name not in known]:
        raise bodies.unknown(unknown, known)
    values: dict[str, str] = {}
    for name, parameter in model.model_fields.items():
        given = query.getall(parameter.alias or name, [])
        if len(given) > 1 and Many() in parameter.metadata:
            given = [",".join(given)]
        if len(given) > 1:
            raise _broken(model, name)
        if given:
            values[parameter.alias or name] = given[0]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
        raise _broken(model, str(place[0])) from None


def _broken(model: type[Query], name: str) -> ApiError:
    parameter = next(f for n, f in model.model_fields.items() if name in (n, f.alias))
    must = _must(parameter)
    return bodies.invalid(parameter.alias or name, must.rule, **dict(must.values))


def _must(parameter: FieldInfo) -> Must:
    for one in parameter.metadata:
        if isinstance(one, Must):
            return one
    least = [one.ge for one in parameter.metadata if isinstance(one, Ge)]
    most = [one.le for one in parameter.metadata if isinstance(one, Le)]
    if least and most:
        return Must("MUST_BE_BETWEEN", (("least", least[0]), ("most", most[0])))
    return Must("MUST_BE_TEXT")
