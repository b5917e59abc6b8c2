"""What the lists take: filters, an order, and pages by cursor."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from daemon.catalog.jobs import JobState
from daemon.catalog.ledger import State
from daemon.catalog.task_list import Order, SortBy, TaskFilter
from daemon.deletion.models import Trigger
from daemon.durations import Duration
from daemon.web.bodies import Pattern
from daemon.web.queries import MOST_LIMIT, Flag, InstantText, Many, Must, Query, Whole

_MOST_OFFSET: Final = 2**63 - 1  # what the databases count with
_MOST_STATUS: Final = 50  # characters
_MOST_STATUSES: Final = 20
_MOST_TEXT: Final = 500  # characters
_SORTS: Final = tuple(sign + by for by in SortBy for sign in ("", "-"))


def _statuses(value: object) -> object:
    return tuple(value.split(",")) if isinstance(value, str) else value


def _are_statuses(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(values) > _MOST_STATUSES:
        raise ValueError("too many")
    for value in values:
        if not value.strip() or len(value) > _MOST_STATUS or not value.isprintable():
            raise ValueError("not a status")
    return values


def _line(value: str) -> str:
    if not 1 <= len(value) <= _MOST_TEXT or not value.isprintable():
        raise ValueError("not one line")
    return value


def _sort(value: str) -> str:
    if value not in _SORTS:
        raise ValueError("no such order")
    return value


_Statuses: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(_statuses),
    AfterValidator(_are_statuses),
    WithJsonSchema({"type": "array", "items": {"type": "string", "format": "status"}, "maxItems": _MOST_STATUSES}),
]
Text: TypeAlias = Annotated[
    Annotated[
        str,
        AfterValidator(_line),
        WithJsonSchema({"type": "string", "format": "printable-line", "minLength": 1, "maxLength": _MOST_TEXT}),
    ]
    | None,
    Must("MUST_BE_LINE"),
]
Cursor: TypeAlias = Annotated[str | None, Must("MUST_BE_CURSOR")]
_Sort: TypeAlias = Annotated[str, AfterValidator(_sort), WithJsonSchema({"type": "string", "enum": list(_SORTS)})]
_JobId: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{28}$")]
_Limit: TypeAlias = Annotated[Whole, Field(ge=1, le=MOST_LIMIT)]
_Age: TypeAlias = Annotated[
    Duration, WithJsonSchema({"type": "string", "format": "duration-with-unit", "examples": ["7d", "12h", "1d12h"]})
]


class TasksQuery(Query):
    """What ``GET …/tasks`` takes. ``total``: whether to count all; without it only the page without a cursor does."""

    limit: Whole = Field(100, ge=1, le=MOST_LIMIT)
    offset: Whole = Field(0, ge=0, le=_MOST_OFFSET)
    cursor: Cursor = None
    status: Annotated[_Statuses, Must("MUST_BE_STATUS"), Many()] = ()
    directory_exists: Annotated[Flag | None, Must("MUST_BE_BOOLEAN")] = None
    user: Text = None
    database: Text = None
    q: Text = None
    older_than: Annotated[_Age | None, Must("MUST_BE_DURATION")] = None
    sort: Annotated[_Sort, Must("MUST_BE_SORT", (("words", ", ".join(SortBy)),))] = "-created"
    total: Annotated[Flag | None, Must("MUST_BE_BOOLEAN")] = None

    @property
    def order(self) -> Order:
        return Order(SortBy(self.sort.removeprefix("-")), descending=self.sort.startswith("-"))

    @property
    def filter(self) -> TaskFilter:
        return TaskFilter(
            statuses=self.status,
            directory_exists=self.directory_exists,
            user=self.user,
            database=self.database,
            text=self.q,
            older_than=self.older_than,
        )


class JobsQuery(Query):
    """What ``GET /api/v0/jobs`` takes."""

    limit: Whole = Field(50, ge=1, le=MOST_LIMIT)
    cursor: Annotated[_JobId | None, Must("MUST_BE_CURSOR")] = None
    state: Annotated[JobState | None, Must("MUST_BE_ONE_OF", (("words", ", ".join(JobState)),))] = None


class RefusalsQuery(Query):
    """What ``GET /api/v0/refusals`` takes."""

    limit: Whole = Field(100, ge=1, le=MOST_LIMIT)


class DeletionsQuery(Query):
    """What ``GET /api/v0/deletions`` takes; ``format`` csv or ndjson: all of them, as a file."""

    limit: Annotated[_Limit | None, Must("MUST_BE_BETWEEN", (("least", 1), ("most", MOST_LIMIT)))] = None
    cursor: Cursor = None
    task_id: Annotated[Pattern | None, Must("MUST_BE_PATTERN")] = None
    policy: Text = None
    sweep_id: Text = None
    initiator: Text = None
    trigger: Annotated[Trigger | None, Must("MUST_BE_ONE_OF", (("words", ", ".join(Trigger)),))] = None
    state: Annotated[State | None, Must("MUST_BE_ONE_OF", (("words", ", ".join(State)),))] = None
    since: InstantText = None
    until: InstantText = None
    format: Annotated[
        Literal["json", "csv", "ndjson"] | None, Must("MUST_BE_ONE_OF", (("words", "json, csv, ndjson"),))
    ] = None
