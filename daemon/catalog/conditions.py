"""Compiles a policy's condition to one SQL expression, used alike to select and to explain.

Logic is three-valued where it protects: a missing timestamp is unknown, so neither ``older_than`` nor
``not: newer_than`` matches it. A missing user, database or name is simply not the one asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.patterns import glob_match
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.populations import Population, utc_before
from daemon.catalog.tables import inventory
from daemon.errors import CatalogNotReady
from daemon.policy.condition import OF_INVENTORY, SizeRange
from daemon.policy.models import Age, Condition, Glob
from daemon.policy.values import format_duration
from daemon.sizes import format_size

Expression = sa.ColumnElement[bool]

_COMPARE = {"gte": operator.ge, "gt": operator.gt, "lte": operator.le, "lt": operator.lt}
_SIGNS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}
_TIMESTAMPS = {"created": "created_at", "started": "started_at", "completed": "completed_at", "updated": "updated_at"}


@dataclass(frozen=True, slots=True)
class Clause:
    """One leaf of a condition: its place in the document, what it asks for, of which column, and its SQL."""

    path: str
    required: str
    column: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Compiled:
    """A whole condition: its SQL (NULL means unknown) and its leaves in document order."""

    expression: Expression
    clauses: tuple[Clause, ...]


class ConditionCompiler:
    """Compiles conditions against one installation's tables at one instant."""

    def __init__(self, population: Population, tables: PipelineTables, timeline: Timeline, now: Instant) -> None:
        self._row = population.row
        self._first_seen = population.first_seen
        self._tables = tables
        self._timeline = timeline
        self._now = now

    def compile(self, condition: Condition, path: str) -> Compiled:
        """The condition found at ``path`` of its document. An empty one is true.

        Raises CatalogNotReady if it asks for ``task_name`` and this installation has none: a protection that
        silently never applied would be worse than an error.
        """
        clauses: list[Clause] = []
        parts: list[Expression] = []
        for clause in self._leaves(condition, path):
            clauses.append(clause)
            parts.append(clause.expression)
        for word, join in (("all", sa.and_), ("any", sa.or_)):
            children: tuple[Condition, ...] | None = getattr(condition, word)
            if children:
                compiled = [self.compile(child, f"{path}.{word}[{index}]") for index, child in enumerate(children)]
                clauses.extend(clause for child in compiled for clause in child.clauses)
                parts.append(join(*(child.expression for child in compiled)))
        if condition.not_ is not None:
            inner = self.compile(condition.not_, f"{path}.not")
            clauses.extend(inner.clauses)
            parts.append(sa.not_(inner.expression))
        return Compiled(sa.and_(sa.true(), *parts), tuple(clauses))

    def _leaves(self, condition: Condition, path: str) -> Iterator[Clause]:
        for word, values in (("status", condition.status), ("user", condition.user), ("database", condition.database)):
            if values is not None:
                name = {"status": "status", "user": "by_user", "database": "db_name"}[word]
                known = sa.func.coalesce(self._row[name].in_(values), sa.false())
                yield Clause(f"{path}.{word}", f"{word} is {' or '.join(values)}", name, known)
        for word, age in (("older_than", condition.older_than), ("newer_than", condition.newer_than)):
            if age is not None:
                yield self._age(f"{path}.{word}", word, age)
        if condition.task_id is not None:
            yield self._glob(f"{path}.task_id", "task_id", self._row["task_id"], condition.task_id)
        if condition.task_name is not None:
            if not self._tables.has_task_name:
                raise CatalogNotReady(
                    f"{path}.task_name: this installation's tasks have no task_name; use task_id instead"
                )
            yield self._glob(f"{path}.task_name", "task_name", self._row["task_name"], condition.task_name)
        if condition.directory is not None:
            present = self._row["directory_exists"]
            expression = present if condition.directory == "present" else sa.not_(present)
            yield Clause(f"{path}.directory", f"directory is {condition.directory}", "directory_exists", expression)
        if condition.size is not None:
            yield self._size(f"{path}.size", condition.size)

    def _size(self, path: str, size: SizeRange) -> Clause:
        column = inventory.c.size_bytes
        parts = [_COMPARE[word](column, bound) for word, bound in size.bounds.items()]
        required = " and ".join(f"{_SIGNS[word]} {format_size(bound)}" for word, bound in size.bounds.items())
        return Clause(path, f"size {required}", "size_bytes", sa.and_(*parts))

    def _age(self, path: str, word: str, age: Age) -> Clause:
        if age.by in OF_INVENTORY:
            name = f"{age.by}_at"
            column: sa.ColumnElement[Any] = self._first_seen if age.by == "first_seen" else inventory.c[name]
            bound = utc_before(self._now, age.age)
        else:
            name = _TIMESTAMPS[age.by]
            column = self._timeline.known(self._row[name])
            bound = self._timeline.before(self._now, age.age)
        expression = column <= bound if word == "older_than" else column > bound
        return Clause(path, f"{word.replace('_', ' ')} {format_duration(age.age)} by {age.by}", name, expression)

    def _glob(self, path: str, word: str, column: sa.ColumnElement[Any], glob: Glob) -> Clause:
        matches = sa.or_(*(glob_match(column, pattern, sqlite=self._timeline.sqlite) for pattern in glob.glob))
        return Clause(path, f"{word} is like {' or '.join(glob.glob)}", word, sa.func.coalesce(matches, sa.false()))
