"""Policy tests: tasks made up in YAML, a date, and what each policy is expected to decide."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr, ValidationInfo
from pydantic import model_validator as validates_model

from daemon.config import TimeZoneName
from daemon.errors import DocumentError
from daemon.policy.condition import Strict
from daemon.policy.values import Size
from daemon.strict_yaml import Document, Mistake, kind, read, suggestion, validate

_EXAMPLES = "write a date or date-time such as 2026-12-31 or 2026-12-31T03:00"


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected a date, got {kind(value)}: {_EXAMPLES}")
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(f"not a date: {_EXAMPLES}") from None
    if not 1970 <= found.year <= 9000:
        raise ValueError("a date is between the years 1970 and 9000")
    return found


def _wall_time(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise ValueError("the pipeline writes wall time: leave the offset out, and name the zone in `timezone`")
    return value


def _known_status(value: str, info: ValidationInfo) -> str:
    known: tuple[str, ...] = (info.context or {}).get("statuses", (value,))
    if value not in known:
        raise ValueError(f"unknown status `{value}`{suggestion(value, known)} known: {', '.join(known)}")
    return value


Moment: TypeAlias = Annotated[datetime, BeforeValidator(_instant)]
WallTime: TypeAlias = Annotated[datetime, BeforeValidator(_instant), AfterValidator(_wall_time)]

_OF_ROWS = ("task_name", "user", "database", "created_at", "started_at", "completed_at", "updated_at", "directory")


class Case(Strict):
    """One made-up task. Without a ``status`` it is a directory that has no row.

    Timestamps of the row are wall time of the file's zone; ``modified_at`` and ``first_seen_at``, what a scan found,
    too unless they have an offset. ``running``: one of its steps runs, whatever its status.
    """

    task_id: StrictStr
    status: Annotated[StrictStr, AfterValidator(_known_status)] | None = None
    task_name: StrictStr | None = None
    user: StrictStr | None = None
    database: StrictStr | None = None
    created_at: WallTime | None = None
    started_at: WallTime | None = None
    completed_at: WallTime | None = None
    updated_at: WallTime | None = None
    directory: Literal["present", "missing"] = "present"
    running: StrictBool = False
    size: Size | None = None
    files: Annotated[StrictInt, Field(ge=0)] | None = None
    modified_at: Moment | None = None
    first_seen_at: Moment | None = None

    @validates_model(mode="after")
    def _parts_fit(self) -> Case:
        if self.status is None:
            extra = [name for name in _OF_ROWS if name in self.model_fields_set]
            if extra or self.running:
                name = extra[0] if extra else "running"
                raise ValueError(f"a directory without a row has no `{name}`: add a `status`, or remove it")
            if self.first_seen_at is None:
                raise ValueError("a directory without a row is known by scans alone: add `first_seen_at`")
        return self


class HoldCase(Strict):
    """A hold on a task, or on all that fit a glob of ``*`` and ``?``; ``until``: its end, None for never."""

    task: StrictStr
    owner: StrictStr = "somebody"
    reason: StrictStr = "a policy test"
    until: Moment | None = None


class Expected(Strict):
    """What one policy is expected to decide.

    ``goes``: exactly these. ``stays``: each of these with that verdict, or with a reason that contains any other text;
    the text ``stays`` takes any reason.
    """

    goes: tuple[StrictStr, ...] | None = None
    stays: dict[StrictStr, StrictStr] = Field(default_factory=dict)

    @validates_model(mode="after")
    def _says_something(self) -> Expected:
        if self.goes is None and not self.stays:
            raise ValueError("expects nothing: add `goes` or `stays`, or remove it")
        for task_id, text in self.stays.items():
            if task_id in (self.goes or ()):
                raise Mistake(f"`{task_id}` is in `goes` as well", "stays", task_id)
            if text in ("", "goes"):
                raise Mistake("write a verdict, a part of the reason, or just `stays`", "stays", task_id)
        return self


class CaseFile(Strict):
    """One file. ``policies``: the folder they are in; ``now``: the date, wall time of ``timezone`` (UTC by default)."""

    policies: StrictStr
    now: Moment
    timezone: TimeZoneName = "UTC"
    tasks: tuple[Case, ...]
    holds: tuple[HoldCase, ...] = ()
    expect: dict[StrictStr, Expected]

    @validates_model(mode="after")
    def _names_fit(self) -> CaseFile:
        ids: set[str] = set()
        for index, case in enumerate(self.tasks):
            if case.task_id in ids:
                raise Mistake(f"`{case.task_id}` is already taken", "tasks", index, "task_id")
            ids.add(case.task_id)
        for policy, expected in self.expect.items():
            for index, task_id in enumerate(expected.goes or ()):
                if task_id not in ids:
                    raise Mistake(_no_task(task_id, ids), "expect", policy, "goes", index)
            for task_id in expected.stays:
                if task_id not in ids:
                    raise Mistake(_no_task(task_id, ids), "expect", policy, "stays", task_id)
        return self


def load_cases(path: Path, statuses: tuple[str, ...]) -> tuple[CaseFile, Document]:
    """The file, and its document to report further problems with. Raises DocumentError with every mistake."""
    document = read(path)
    return validate(document, CaseFile, context={"statuses": statuses}), document


def check_policies(file: CaseFile, document: Document, names: Collection[str]) -> None:
    """Raises DocumentError if decisions of a policy are expected that is not among ``names``."""
    known = ", ".join(names) or "none"
    problems = [
        document.problem(("expect", name), f"no policy `{name}`{suggestion(name, names)} known: {known}", key=True)
        for name in file.expect
        if name not in names
    ]
    if problems:
        raise DocumentError(problems)


def _no_task(task_id: str, ids: set[str]) -> str:
    return f"no task `{task_id}` in this file{suggestion(task_id, ids)} known: {', '.join(sorted(ids))}"
