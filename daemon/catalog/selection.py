"""What a policy says of every task, as one statement: the plan runs it over all, a claim asks it again for one.

Precedence: hold, running, protect, keep, match, backoff, notice period. Only what passes all of them is SELECTED.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog import announcements, holds, populations, rows
from daemon.catalog.among import among
from daemon.catalog.conditions import Clause, Compiled, ConditionCompiler
from daemon.catalog.holds import Hold
from daemon.catalog.instants import Instant, Timeline
from daemon.catalog.patterns import fits
from daemon.catalog.pipeline import PipelineTables
from daemon.catalog.populations import MEASURED, Measured
from daemon.catalog.rows import TaskRow
from daemon.catalog.tables import announcements as announced
from daemon.catalog.task_failures import TaskFailure
from daemon.policy.models import Policy, PolicySet, Protect

_STREAM_ROWS = 2000


class Verdict(StrEnum):
    """Why a task goes or stays."""

    SELECTED = "selected"
    HELD = "held"
    RUNNING = "running"
    PROTECTED = "protected"
    KEEP_LAST = "keep_last"
    KEEP_MIN_AGE = "keep_min_age"
    NOT_MATCHED = "not_matched"
    BACKING_OFF = "backing_off"
    NOTICE_PERIOD = "notice_period"


@dataclass(frozen=True, slots=True)
class Judged:
    """One task under one policy. ``rank`` counts from 1, the newest of its group; None without ``keep.last``.

    ``clauses`` holds, in the order of ``Selection.clauses``, true, false, or None for unknown. ``measured``: what the
    last scan found, if the policy asks for it. ``undated``: its age cannot be told; ``unranked``: nor its rank.
    ``failure``: why it could not be deleted before, while it is not tried again; ``announced_at`` is aware.
    """

    task: TaskRow
    verdict: Verdict
    held_by: Hold | None
    protected_by: str | None
    rank: int | None
    clauses: tuple[bool | None, ...]
    measured: Measured | None
    running: bool
    undated: bool
    unranked: bool
    failure: TaskFailure | None = None
    announced_at: datetime | None = None

    @property
    def since(self) -> datetime | None:
        """The date the task's age counts from: naive wall time of a row, or aware of a directory without one."""
        if self.undated:
            return None
        task = self.task
        found = task.completed_at or task.started_at or task.created_at
        return found or (self.measured.first_seen_at if self.measured and task.status is None else None)


class Selection:
    """One policy of a set, compiled for one installation at one instant."""

    def __init__(
        self,
        policy: Policy,
        policies: PolicySet,
        *,
        tables: PipelineTables,
        timeline: Timeline,
        now: Instant,
        running_statuses: tuple[str, ...],
        active_holds: Sequence[Hold] = (),
        failures: Mapping[str, TaskFailure] | None = None,
        notice: timedelta | None = None,
        ahead_of: datetime | None = None,
    ) -> None:
        """``notice``: how long a task has to have been announced.

        ``ahead_of`` (aware): the present, if ``now`` is another instant, to look ahead to. What is not announced yet is
        then taken to be announced at the present.
        """
        self.policy = policy
        self.now = now
        self._failures = failures or {}
        self._notice = notice
        self._ahead_of = ahead_of
        self._tables = tables
        self._timeline = timeline
        self._holds = active_holds
        self.protections: tuple[Protect, ...] = policies.protect
        self._measured = (
            policy.source == "orphans"
            or policy.asks_inventory
            or any(item.match.asks_inventory() for item in policies.protect)
        )
        self._population = (
            populations.orphans(tables)
            if policy.source == "orphans"
            else populations.tasks_of(policy, tables, timeline, running_statuses, measured=self._measured)
        )
        compiler = ConditionCompiler(self._population, tables, timeline, now)
        self._match: Compiled = compiler.compile(policy.match, "match")
        self._protects = [
            (item.name, compiler.compile(item.match, f"protect.{item.name}")) for item in policies.protect
        ]

    @property
    def clauses(self) -> tuple[Clause, ...]:
        """The leaves of the policy's match, in document order."""
        return self._match.clauses

    def holds_of(self, task_id: str) -> list[Hold]:
        """The holds in force that are about the task."""
        return [hold for hold in self._holds if fits(hold.pattern, task_id)]

    def waits_of(self, judged: Judged) -> tuple[tuple[datetime, str], ...]:
        """Return the instants (aware) before which the task stays, each with what it waits for."""
        found = [] if judged.failure is None else [(judged.failure.next_at, "its next try")]
        if self._notice is not None:
            announced_at = judged.announced_at or self._ahead_of or self.now.utc
            found.append((announced_at + self._notice, "its notice period"))
        return tuple(found)

    @property
    def notice(self) -> timedelta | None:
        """How long a task has to have been announced; None if it needs no announcement."""
        return self._notice

    def looks_at(self, task_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Return whether the policy looks at the task that this column of another table names."""
        population = self._population
        there = sa.select(sa.literal(1)).select_from(population.source)
        return sa.exists(there.where(population.where, population.task_id == task_id).correlate(task_id.table))

    def count(self, connection: Connection) -> Counter[Verdict]:
        """How many tasks have each verdict, in one pass that fetches none of them."""
        return self._survey(connection)[0]

    def survey(self, connection: Connection) -> tuple[Counter[Verdict], list[str]]:
        """How many tasks have each verdict, and which are selected, in one pass that fetches nothing of the others."""
        together = sa.func.json_group_array if self._timeline.sqlite else sa.func.array_agg
        counts, found = self._survey(connection, together)
        return counts, json.loads(found) if self._timeline.sqlite else found or []

    def _survey(self, connection: Connection, together: Any = None) -> tuple[Counter[Verdict], Any]:
        # OFFSET 0: each verdict is worked out once, not once for each number
        judged = self._verdicts(self._base(self._rank_by_window(), narrow=True)).offset(0).subquery("all_judged")
        numbers = [sa.func.count().filter(judged.c.verdict == verdict) for verdict in Verdict]
        selected = judged.c.verdict == Verdict.SELECTED
        chosen = sa.null() if together is None else together(judged.c.task_id).filter(selected)
        *counts, found = connection.execute(sa.select(*numbers, chosen).select_from(judged)).one()
        return +Counter(dict(zip(Verdict, counts, strict=True))), found

    def judge_selected(self, connection: Connection, task_ids: list[str]) -> Iterator[Judged]:
        """What `survey` selected in the same transaction, streamed, in the policy's order."""
        chosen = among(self._population.task_id, task_ids, sqlite=self._timeline.sqlite)
        beyond = self.policy.keep.last + 1 if self.policy.keep and self.policy.keep.last else None
        return self._stream(connection, self._base(sa.literal(beyond, sa.Integer), chosen))

    def judge_all(
        self,
        connection: Connection,
        *,
        but: Verdict | None = None,
        only: Verdict | None = None,
        limit: int | None = None,
    ) -> Iterator[Judged]:
        """Every task the policy looks at, ``but`` or ``only`` those of one verdict, streamed, in the policy's order."""
        return self._stream(connection, self._base(self._rank_by_window()), but=but, only=only, limit=limit)

    def _stream(
        self,
        connection: Connection,
        base: sa.Subquery,
        *,
        but: Verdict | None = None,
        only: Verdict | None = None,
        limit: int | None = None,
    ) -> Iterator[Judged]:
        judged = self._verdicts(base).subquery("all_judged")
        statement = sa.select(judged).order_by(*self._order(judged), judged.c.task_id).limit(limit)
        if but is not None:
            statement = statement.where(judged.c.verdict != but)
        if only is not None:
            statement = statement.where(judged.c.verdict == only)
        result = connection.execute(statement, execution_options={"yield_per": _STREAM_ROWS})
        for row in result:
            yield self._judged(row)

    def judge_some(self, connection: Connection, task_ids: Sequence[str]) -> dict[str, Judged]:
        """The same for these tasks, by id; those the policy does not look at (any more) are absent."""
        base = self._base(self._rank_by_count(), self._population.task_id.in_(task_ids))
        return {row.task_id: self._judged(row) for row in connection.execute(self._verdicts(base))}

    def _base(self, rank: sa.ColumnElement[Any], *only: sa.ColumnElement[bool], narrow: bool = False) -> sa.Subquery:
        """``narrow``: only what verdicts need; SQLite works out, and sorts, whatever is named here."""
        population = self._population
        columns: list[sa.ColumnElement[Any]] = [
            *((population.task_id.label("task_id"),) if narrow else population.columns),
            (sa.null() if narrow and not self._needs_age else population.since).label("age_since"),
            holds.held(self._holds, population.task_id, sqlite=self._timeline.sqlite).label("is_held"),
            population.running.label("is_running"),
            rank.label("rank"),
            population.ranked.label("rank_date"),
            sa.func.coalesce(self._match.expression, sa.false()).label("matches"),
            (sa.null() if self._notice is None else announced.c.announced_at).label("announced_at"),
        ]
        if self._failures:
            sqlite = self._timeline.sqlite
            columns.append(among(population.task_id, sorted(self._failures), sqlite=sqlite).label("is_backing_off"))
        for index, (_, compiled) in enumerate(self._protects):
            # unknown protects: what cannot be told apart from a protected task stays
            columns.append(sa.func.coalesce(compiled.expression, sa.true()).label(f"protect_{index}"))
        for index, clause in enumerate(() if narrow else self.clauses):
            columns.append(clause.expression.label(f"clause_{index}"))
        source = population.source
        if self._notice is not None:
            mine = sa.and_(announcements.of_policy(self.policy), announced.c.task_id == population.task_id)
            source = source.outerjoin(announced, mine)
        return sa.select(*columns).select_from(source).where(population.where, *only).subquery("judged")

    @property
    def _needs_age(self) -> bool:
        return self.policy.keep is not None and self.policy.keep.min_age is not None

    def _order(self, base: sa.Subquery) -> list[sa.ColumnElement[Any]]:
        keys = {
            "oldest": lambda: base.c.age_since.asc().nulls_last(),
            "newest": lambda: base.c.age_since.desc().nulls_last(),
            "largest": lambda: base.c.freed_bytes.desc().nulls_last(),
            "smallest": lambda: base.c.freed_bytes.asc().nulls_last(),
        }
        return [keys[order]() for order in self.policy.order]

    def _groups(self, tasks: sa.FromClause) -> list[sa.ColumnElement[Any]]:
        names = {"database": "db_name", "user": "by_user", "status": "status"}
        return [tasks.c[names[group]] for group in self.policy.keep.per] if self.policy.keep else []

    def _rank_by_window(self) -> sa.ColumnElement[Any]:
        if self.policy.keep is None or self.policy.keep.last is None:
            return sa.cast(sa.null(), sa.Integer)
        tasks = self._tables.tasks
        newest_first = [self._population.ranked.desc().nulls_last(), tasks.c.task_id.desc()]
        return sa.func.row_number().over(partition_by=self._groups(tasks) or None, order_by=newest_first)

    def _rank_by_count(self) -> sa.ColumnElement[Any]:
        """The same rank for single rows, counted only as far as it matters: a claim holds a lock meanwhile."""
        if self.policy.keep is None or self.policy.keep.last is None:
            return sa.cast(sa.null(), sa.Integer)
        tasks, other = self._tables.tasks, self._tables.tasks.alias("other")
        mine, theirs = self._population.ranked, populations.ranking_date(self._timeline, other)
        newer = sa.or_(theirs > mine, sa.and_(theirs == mine, other.c.task_id > tasks.c.task_id))
        same_group = [a.is_not_distinct_from(b) for a, b in zip(self._groups(tasks), self._groups(other), strict=True)]
        some = (
            sa.select(sa.literal(1).label("one"))
            .select_from(other)
            .where(populations.looked_at(self.policy, other, sqlite=self._timeline.sqlite), newer, *same_group)
            .correlate(tasks)
            .limit(self.policy.keep.last)
            .subquery()
        )
        return sa.select(sa.func.count(some.c.one) + 1).scalar_subquery()

    def _verdicts(self, base: sa.Subquery) -> sa.Select[Any]:
        whens: list[tuple[Any, Verdict]] = [(base.c.is_held, Verdict.HELD), (base.c.is_running, Verdict.RUNNING)]
        protected = [base.c[f"protect_{index}"] for index in range(len(self._protects))]
        if protected:
            whens.append((sa.or_(*protected), Verdict.PROTECTED))
        keep = self.policy.keep
        if keep is not None and keep.last is not None:
            # a task without any date cannot be ranked, so it stays
            whens.append((sa.or_(base.c.rank_date.is_(None), base.c.rank <= keep.last), Verdict.KEEP_LAST))
        if keep is not None and keep.min_age is not None:
            bound = self._population.before(self.now, keep.min_age)
            whens.append((sa.or_(base.c.age_since.is_(None), base.c.age_since > bound), Verdict.KEEP_MIN_AGE))
        whens.append((sa.not_(base.c.matches), Verdict.NOT_MATCHED))
        if self._failures:
            whens.append((base.c.is_backing_off, Verdict.BACKING_OFF))
        if self._notice is not None:
            whens.append((sa.not_(self._has_been_announced(base.c.announced_at)), Verdict.NOTICE_PERIOD))
        texts = [(condition, sa.literal(verdict, sa.String)) for condition, verdict in whens]
        return sa.select(base, sa.case(*texts, else_=sa.literal(Verdict.SELECTED, sa.String)).label("verdict"))

    def _has_been_announced(self, at: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """Return whether that was long enough ago."""
        assert self._notice is not None
        long_enough = at <= populations.utc_before(self.now, self._notice)
        will_be = self._ahead_of is not None and self._ahead_of + self._notice <= self.now.utc
        return sa.func.coalesce(long_enough, sa.true() if will_be else sa.false())

    def _judged(self, row: sa.Row[*tuple[Any, ...]]) -> Judged:
        values = row._mapping
        verdict = Verdict(values["verdict"])
        protected_by = None
        if verdict is Verdict.PROTECTED:
            protected_by = next(name for i, (name, _) in enumerate(self._protects) if values[f"protect_{i}"])
        clauses = tuple(values[f"clause_{index}"] for index in range(len(self.clauses)))
        return Judged(
            rows.from_row(row),
            verdict,
            holds.holding(self._holds, values["task_id"]) if verdict is Verdict.HELD else None,
            protected_by,
            values["rank"],
            tuple(None if v is None else bool(v) for v in clauses),
            Measured(*(values[name] for name in MEASURED)) if self._measured else None,
            bool(values["is_running"]),
            values["age_since"] is None,
            values["rank_date"] is None,
            self._failures.get(values["task_id"]),
            values["announced_at"],
        )
