"""Which tasks a policy takes, and why the others stay: the same on every database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.catalog.catalog import Catalog
from daemon.errors import CatalogNotReady
from daemon.sweep.eligibility import Eligibility, When
from daemon.sweep.explanation import explain
from daemon.sweep.plan import make_plan
from support.judging import judge, policy_set, selected, verdicts
from support.prepared import Prepared
from support.site import make_catalog
from support.stores import Store

COMPLETED = {"status": "completed"}


@pytest.fixture
def catalog(store: Store) -> Iterator[Catalog]:
    made = make_catalog(store)
    yield made
    made.close()


@pytest.fixture
def now(catalog: Catalog) -> datetime:
    """The pipeline's wall time."""
    with catalog.read() as session:
        return session.now.local.replace(microsecond=0)


def ago(now: datetime, **age: float) -> datetime:
    return now - timedelta(**age)


@pytest.mark.parametrize("statuses", [["completed"], ["failed", "pending"], ["partial_completed"], ["no-such"]])
def test_status_is_one_of_the_list(store: Store, catalog: Catalog, statuses: list[str]) -> None:
    for status in ("pending", "partial_completed", "completed", "failed"):
        store.add_task(f"task_{status}", status=status)
    expected = {f"task_{status}" for status in statuses if status != "no-such"}
    assert selected(catalog, policy_set({"status": statuses})) == expected


@pytest.mark.parametrize(("word", "column"), [("user", "by_user"), ("database", "db_name")])
def test_a_missing_user_or_database_is_simply_not_the_one_asked_for(
    store: Store, catalog: Catalog, word: str, column: str
) -> None:
    for task_id, value in (("t_a", "alice"), ("t_A", "Alice"), ("t_b", "bob"), ("t_none", None), ("t_empty", "")):
        store.add_task(task_id, **COMPLETED, **{column: value})
    assert selected(catalog, policy_set({word: ["alice", "carol"]})) == {"t_a"}
    assert selected(catalog, policy_set({"not": {word: "alice"}})) == {"t_A", "t_b", "t_none", "t_empty"}


def test_a_missing_name_fits_no_pattern_not_even_that_of_any_text(store: Store, catalog: Catalog) -> None:
    store.add_task("t_named", **COMPLETED, task_name="x")
    store.add_task("t_none", **COMPLETED, task_name=None)
    any_name = {"task_name": {"glob": "*"}}
    assert selected(catalog, policy_set(any_name, allow_all=True)) == {"t_named"}
    assert selected(catalog, policy_set({"any": [any_name, {"status": "failed"}]}, allow_all=True)) == {"t_named"}
    assert selected(catalog, policy_set({"not": any_name})) == {"t_none"}


@pytest.mark.parametrize("by", ["created", "started", "completed", "updated"])
def test_ages_are_inclusive_and_a_missing_or_future_date_is_never_old(
    store: Store, catalog: Catalog, now: datetime, by: str
) -> None:
    column = f"{by}_at"
    dates = {
        "t_old": ago(now, days=31),
        "t_just": ago(now, days=30, seconds=5),
        "t_not_yet": ago(now, days=30) + timedelta(minutes=1),
        "t_future": now + timedelta(days=400),
        "t_null": None,
        "t_epoch": datetime(1970, 1, 1),
        "t_fraction": ago(now, days=31, microseconds=500_000),
    }
    others: dict[str, object] = dict.fromkeys(("created_at", "started_at", "completed_at"), ago(now, days=900))
    for task_id, date in dates.items():
        store.add_task(task_id, **{**COMPLETED, **others, column: date})
    age = {"age": "30d", "by": by}
    old = {"t_old", "t_just", "t_epoch", "t_fraction"}
    assert selected(catalog, policy_set({"older_than": age})) == old
    assert selected(catalog, policy_set({"newer_than": age})) == {"t_not_yet", "t_future"}
    # What is not known to be new is not taken for old, and the other way round.
    assert selected(catalog, policy_set({"not": {"newer_than": age}})) == old
    assert selected(catalog, policy_set({"not": {"older_than": age}})) == {"t_not_yet", "t_future"}
    assert selected(catalog, policy_set({"not": {"not": {"older_than": age}}})) == old


def test_an_age_without_a_word_is_since_completion(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("t_created", **COMPLETED, created_at=ago(now, days=99))
    store.add_task("t_completed", **COMPLETED, completed_at=ago(now, days=99))
    assert selected(catalog, policy_set({"older_than": "30d"})) == {"t_completed"}


NAMES = {
    "t_plain": "nightly",
    "t_case": "Nightly",
    "t_percent": "100%done",
    "t_under": "a_b",
    "t_other": "axb",
    "t_back": "c\\d",
    "t_bracket": "[ab]c",
    "t_a": "ac",
    "t_star": "lit*ral",
    "t_chinese": "夜间任务",
    "t_line": "two\nlines",
    "t_quote": 'it\'s "so"',
    "t_empty": "",
    "t_null": None,
}


PATTERNS: list[tuple[str | list[str], set[str]]] = [
    ("nightly", {"t_plain"}),
    ("NIGHTLY", set()),
    ("?ightly", {"t_plain", "t_case"}),
    ("night", set()),
    ("night*", {"t_plain"}),
    ("*%*", {"t_percent"}),
    ("%", set()),
    ("1__%done", set()),
    ("a_b", {"t_under"}),
    ("a?b", {"t_under", "t_other"}),
    ("c\\d", {"t_back"}),
    ("*\\*", {"t_back"}),
    ("c\\\\d", set()),
    ("?ab]c", {"t_bracket"}),
    ("*]*", {"t_bracket"}),
    ("lit*ral", {"t_star"}),
    ("夜间??", {"t_chinese"}),
    ("????", {"t_chinese"}),
    ("two*", {"t_line"}),
    ("two?lines", {"t_line"}),
    ("it's*", {"t_quote"}),
    ("^n.*", set()),
    (["ac", "a_b", "nothing"], {"t_a", "t_under"}),
    ("?*", set(NAMES) - {"t_empty", "t_null"}),
]


def test_patterns_know_two_wildcards_and_case(store: Store, catalog: Catalog) -> None:
    for task_id, name in NAMES.items():
        store.add_task(task_id, **COMPLETED, task_name=name)
    for patterns, expected in PATTERNS:
        condition = {"task_name": {"glob": patterns}}
        assert selected(catalog, policy_set({"all": [condition, COMPLETED]})) == expected, patterns
        assert selected(catalog, policy_set({"all": [{"not": condition}, COMPLETED]})) == set(NAMES) - expected, (
            patterns
        )


def test_a_pattern_for_ids_takes_ids(store: Store, catalog: Catalog) -> None:
    for task_id in ("task_1", "task_2", "manual_1", "taskx1"):
        store.add_task(task_id, **COMPLETED)
    assert selected(catalog, policy_set({"task_id": {"glob": "task_*"}})) == {"task_1", "task_2"}


def test_all_any_and_not_combine(store: Store, catalog: Catalog) -> None:
    for user in ("a", "b"):
        for database in ("x", "y"):
            store.add_task(f"{user}{database}", **COMPLETED, by_user=user, db_name=database)
    a, x = {"user": "a"}, {"database": "x"}
    assert selected(catalog, policy_set({"all": [a, x]})) == {"ax"}
    assert selected(catalog, policy_set({**a, **x})) == {"ax"}
    assert selected(catalog, policy_set({"any": [a, x]})) == {"ax", "ay", "bx"}
    assert selected(catalog, policy_set({"not": {"any": [a, x]}})) == {"by"}
    assert selected(catalog, policy_set({"any": [{"all": [a, {"not": x}]}, {"all": [x, {"not": a}]}]})) == {"ay", "bx"}
    assert selected(catalog, policy_set({})) == {"ax", "ay", "bx", "by"}


@pytest.mark.parametrize("delete", ["directory", "directory_and_records", "records"])
def test_a_policy_looks_only_at_what_it_could_delete(store: Store, catalog: Catalog, delete: str) -> None:
    for task_id, exists in (("there", True), ("gone", False), ("unsaid", None)):
        store.add_task(task_id, **COMPLETED, directory_exists=exists)
    expected = {"gone"} if delete == "records" else {"there", "unsaid"}
    assert set(judge(catalog, policy_set({}, delete=delete))) == expected
    assert selected(catalog, policy_set({"directory": "present"}, delete=delete, allow_all=True)) == expected - {"gone"}
    assert selected(catalog, policy_set({"directory": "missing"}, delete=delete)) == expected & {"gone"}


def test_a_judgement_of_one_that_the_policy_does_not_look_at_is_none(store: Store, catalog: Catalog) -> None:
    store.add_task("gone", **COMPLETED, directory_exists=False)
    policies = policy_set({})
    with catalog.read() as session:
        selection = catalog.select(session, policies.policies[0], policies)
        assert selection.judge_some(session.connection, ["gone", "never"]) == {}


def test_a_task_is_running_by_its_status_or_by_any_of_its_steps(store: Store, catalog: Catalog) -> None:
    store.add_task("t_status", status="in_progress")
    for task_id, steps in (("t_step", ("completed", "running")), ("t_done", ("completed", "failed", "pending"))):
        store.add_task(task_id, **COMPLETED)
        for step in steps:
            store.add_step(task_id, step)
    store.query(
        "INSERT INTO data_pipeline_task_steps (task_id, step_name, step_status)"
        " VALUES (NULL, 'qa_generation', 'running')"
    )
    assert verdicts(catalog, policy_set({})) == {"t_status": "running", "t_step": "running", "t_done": "selected"}


def test_running_beats_protect_beats_keep_beats_match(store: Store, catalog: Catalog, now: datetime) -> None:
    """Each task fails one more check than the one before it; the first check it fails is the reason."""
    young = {"created_at": ago(now, minutes=1), "completed_at": ago(now, minutes=1)}
    old = {"created_at": ago(now, days=9), "completed_at": ago(now, days=9)}
    base = {"by_user": "u", "db_name": "d"}
    store.add_task("a_running", status="in_progress", **young, **{**base, "by_user": "vip"})
    store.add_task("b_protected", status="completed", **young, **{**base, "by_user": "vip"})
    store.add_task("c_newest", status="completed", **{**young, "created_at": now}, **base)
    store.add_task("d_young", status="completed", **young, **base)
    store.add_task("e_unmatched", status="failed", **old, **base)
    store.add_task("f_goes", status="completed", **old, **base)
    policies = policy_set(COMPLETED, protect=[{"user": "vip"}], keep={"last": 1, "min_age": "1h"})
    assert verdicts(catalog, policies) == {
        "a_running": "running",
        "b_protected": "protected",
        "c_newest": "keep_last",
        "d_young": "keep_min_age",
        "e_unmatched": "not_matched",
        "f_goes": "selected",
    }


def test_the_first_protection_that_holds_is_named(store: Store, catalog: Catalog) -> None:
    store.add_task("t", **COMPLETED, by_user="vip", db_name="gold")
    policies = policy_set({}, protect=[{"user": "nobody"}, {"database": "gold"}, {"user": "vip"}])
    assert judge(catalog, policies)["t"].protected_by == "protect-1"


def test_what_cannot_be_told_from_a_protected_task_is_protected(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("t_unknown", **COMPLETED, completed_at=None)
    store.add_task("t_old", **COMPLETED, completed_at=ago(now, days=9))
    policies = policy_set({}, protect=[{"newer_than": "1d"}])
    assert verdicts(catalog, policies) == {"t_unknown": "protected", "t_old": "selected"}


def test_keep_last_ranks_the_whole_group_whatever_matches(store: Store, catalog: Catalog, now: datetime) -> None:
    """The newest two of x are a failed and a running one: they fill the group's places, and no match gets one."""
    for index, (task_id, status, database) in enumerate(
        [
            ("x1", "in_progress", "x"),
            ("x2", "failed", "x"),
            ("x3", "completed", "x"),
            ("x4", "completed", "x"),
            ("y1", "completed", "y"),
            ("y2", "completed", "y"),
            ("y3", "completed", "y"),
            ("n1", "completed", None),
            ("n2", "completed", None),
            ("n3", "completed", None),
        ]
    ):
        store.add_task(task_id, status=status, db_name=database, created_at=ago(now, hours=index))
    policies = policy_set(COMPLETED, keep={"last": 2, "per": ["database"]})
    assert selected(catalog, policies) == {"x3", "x4", "y3", "n3"}
    assert verdicts(catalog, policies)["x2"] == "keep_last"
    ranks = {task_id: one.rank for task_id, one in judge(catalog, policies).items()}
    assert ranks == {"x1": 1, "x2": 2, "x3": 3, "x4": 4, "y1": 1, "y2": 2, "y3": 3, "n1": 1, "n2": 2, "n3": 3}


def test_keep_last_without_groups_ranks_all_and_breaks_ties_by_id(
    store: Store, catalog: Catalog, now: datetime
) -> None:
    for task_id in ("a", "b", "c", "d"):
        store.add_task(task_id, **COMPLETED, created_at=ago(now, days=1))
    assert selected(catalog, policy_set({}, keep={"last": 2})) == {"a", "b"}
    assert selected(catalog, policy_set({}, keep={"last": 99})) == set()


def test_keep_last_counts_only_tasks_that_have_their_directory(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("newest", **COMPLETED, created_at=ago(now, days=1), directory_exists=False)
    store.add_task("older", **COMPLETED, created_at=ago(now, days=2))
    store.add_task("oldest", **COMPLETED, created_at=ago(now, days=3))
    assert selected(catalog, policy_set({}, keep={"last": 1})) == {"oldest"}


def test_a_task_without_any_date_cannot_be_ranked_and_stays(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("undated", **COMPLETED, created_at=None)
    for index in range(3):
        store.add_task(f"dated_{index}", **COMPLETED, created_at=ago(now, days=index + 1))
    assert verdicts(catalog, policy_set({}, keep={"last": 1})) == {
        "undated": "keep_last",
        "dated_0": "keep_last",
        "dated_1": "selected",
        "dated_2": "selected",
    }


def test_plan_and_explanation_of_an_undated_task_do_not_tell_a_rank(store: Store, catalog: Catalog) -> None:
    store.add_task("undated", **COMPLETED, created_at=None)
    store.add_task("dated", **COMPLETED, created_at=datetime(2024, 1, 1))
    policies = policy_set({}, keep={"last": 5})
    plan = make_plan(catalog, policies, policies.policies[0], max_stays=None)
    [answer] = explain(catalog, policies, "undated").answers
    reasons = {decision.task.task_id: decision.reason for decision in plan.stays}
    assert reasons == {"dated": "kept: number 1 of the newest 5", "undated": "kept: it has no date to rank it by"}
    assert answer.decision is not None
    assert answer.decision.reason == reasons["undated"]


def test_the_date_of_a_rank_falls_back_to_start_and_completion(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("by_start", **COMPLETED, created_at=None, started_at=ago(now, days=1))
    store.add_task("by_creation", **COMPLETED, created_at=ago(now, days=2))
    store.add_task("by_completion", **COMPLETED, created_at=None, completed_at=ago(now, days=3))
    assert selected(catalog, policy_set({}, keep={"last": 2})) == {"by_completion"}


def test_keep_min_age_counts_from_the_latest_known_event_and_keeps_what_has_none(
    store: Store, catalog: Catalog, now: datetime
) -> None:
    old, young = ago(now, days=9), ago(now, minutes=5)
    store.add_task("completed_young", **COMPLETED, created_at=old, started_at=old, completed_at=young)
    store.add_task("completed_old", **COMPLETED, created_at=young, started_at=young, completed_at=old)
    store.add_task("started_young", **COMPLETED, created_at=old, started_at=young)
    store.add_task("created_old", **COMPLETED, created_at=old)
    store.add_task("future", **COMPLETED, created_at=old, completed_at=now + timedelta(days=2))
    store.add_task("undated", **COMPLETED, created_at=None)
    assert selected(catalog, policy_set({}, keep={"min_age": "1h"})) == {"completed_old", "created_old"}


@pytest.mark.parametrize("date", ["infinity", "-infinity", "0044-03-15 00:00:00 BC", "20000-01-01"])
def test_a_date_that_cannot_be_read_is_no_date(postgres_store: Store, date: str) -> None:
    check_is_no_date(postgres_store, date)


@pytest.mark.parametrize(
    "date",
    [
        "yesterday",
        "",
        5,
        "12:00",
        "0000-01-01",
        "0999-12-31",
        "2024-13-01",
        2460000.5,
        b"2024-01-01",
        "2024-01-01T10",
        "2024-01-01 00:00:00,5",
    ],
)
def test_what_is_no_date_in_sqlite_is_none(prepared: Prepared, tmp_path: Path, date: object) -> None:
    check_is_no_date(prepared.sqlite(tmp_path), date)


@pytest.mark.parametrize(
    "date", ["2024-01-01T00:00:00Z", "2024-01-01T05:00:00+05:00", "2024-01-01T00:00 ", "2023-12-31  24:00:00"]
)
def test_dates_that_sqlite_understands_are_read_as_it_does(prepared: Prepared, tmp_path: Path, date: str) -> None:
    store = prepared.sqlite(tmp_path)
    catalog = make_catalog(store)
    store.add_task("task_1", **COMPLETED, completed_at=date)
    policies = policy_set({"older_than": "30d"})
    (going,) = make_plan(catalog, policies, policies.policies[0]).goes
    assert going.task.completed_at == datetime(2024, 1, 1)
    catalog.close()


def test_what_is_dated_with_an_offset_is_not_old_by_another_zones_clock(prepared: Prepared, tmp_path: Path) -> None:
    """SQLite reads it as UTC, which is hours ago in the zone of the others."""
    catalog = make_catalog(prepared.sqlite(tmp_path), timezone="Asia/Shanghai")
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    store = Store(catalog.database.url.render_as_string())
    store.add_task("plain", **COMPLETED, completed_at=f"{now:%Y-%m-%d %H:%M:%S}")
    store.add_task("aware", **COMPLETED, completed_at=now.isoformat(" ", "seconds"))
    store.add_task("old", **COMPLETED, completed_at=f"{now - timedelta(hours=8):%Y-%m-%d %H:%M:%S}")
    assert selected(catalog, policy_set({}, keep={"min_age": "7h"})) == {"old"}
    assert selected(catalog, policy_set({"older_than": "7h"})) == {"old"}
    catalog.close()


def test_a_last_date_that_cannot_be_read_makes_no_task_as_old_as_its_first(store: Store, catalog: Catalog) -> None:
    odd = "29.11.2026 07:26" if store.sqlite else "infinity"
    old = "2024-01-01 00:00:00"
    store.add_task("odd", **COMPLETED, created_at=old, started_at=old, completed_at=odd)
    store.add_task("plain", **COMPLETED, created_at=old, started_at=old)
    store.add_task("unranked", **COMPLETED, created_at=odd, started_at=old, completed_at=old)
    policies = policy_set({}, keep={"min_age": "7d"})
    assert selected(catalog, policies) == {"plain", "unranked"}
    (stays,) = make_plan(catalog, policies, policies.policies[0], max_stays=None).stays
    assert stays.reason == "kept: no date, the least age is 7d"
    assert stays.eligible == Eligibility(
        When.NEVER, None, "not by time alone: it has no date to count keep.min_age from"
    )
    policies = policy_set({}, keep={"last": 1})
    found = {d.task.task_id: d.reason for d in make_plan(catalog, policies, policies.policies[0], max_stays=None).stays}
    assert found["unranked"] == "kept: it has no date to rank it by"


def check_is_no_date(store: Store, date: object) -> None:
    catalog = make_catalog(store)
    every = dict.fromkeys(("created_at", "started_at", "completed_at", "updated_at"), date)
    store.add_task("odd", **COMPLETED, **every)
    store.add_task("plain", **COMPLETED, **dict.fromkeys(every, "2024-01-01"))
    for by in ("created", "started", "completed", "updated"):
        age = {"age": "30d", "by": by}
        assert selected(catalog, policy_set({"older_than": age})) == {"plain"}
        assert selected(catalog, policy_set({"newer_than": age})) == set()
        assert selected(catalog, policy_set({"not": {"newer_than": age}})) == {"plain"}
        assert verdicts(catalog, policy_set({}, protect=[{"newer_than": age}])) == {
            "odd": "protected",
            "plain": "selected",
        }
    assert selected(catalog, policy_set({}, keep={"min_age": "1h"})) == {"plain"}
    store.add_task("plainer", **COMPLETED, created_at="2023-01-01")
    assert selected(catalog, policy_set({}, keep={"last": 1})) == {"plainer"}
    policies = policy_set({"older_than": "30d"})
    stays = {d.task.task_id: d for d in make_plan(catalog, policies, policies.policies[0], max_stays=None).stays}
    assert stays["odd"].reason == "never completed, needs: older than 30d by completed"
    assert stays["odd"].eligible == Eligibility(When.NEVER, None, "not by time alone: its match")
    catalog.close()


def test_the_oldest_come_first_and_the_undated_last(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("c_undated", **COMPLETED, created_at=None)
    store.add_task("d_old", **COMPLETED, created_at=ago(now, days=1), completed_at=ago(now, days=8))
    store.add_task("b_older", **COMPLETED, created_at=ago(now, days=9))
    store.add_task("a_young", **COMPLETED, created_at=ago(now, hours=1))
    store.add_task("a_undated", **COMPLETED, created_at=None)
    assert list(judge(catalog, policy_set({}))) == ["b_older", "d_old", "a_young", "a_undated", "c_undated"]


def test_each_clause_answers_for_itself(store: Store, catalog: Catalog, now: datetime) -> None:
    store.add_task("t", **COMPLETED, by_user="a", completed_at=None)
    match: dict[str, Any] = {"all": [COMPLETED, {"not": {"user": "a"}}, {"older_than": "30d"}]}
    policies = policy_set(match)
    assert judge(catalog, policies)["t"].clauses == (True, True, None)
    with catalog.read() as session:
        clauses = catalog.select(session, policies.policies[0], policies).clauses
    assert [(clause.path, clause.required, clause.column) for clause in clauses] == [
        ("match.all[0].status", "status is completed", "status"),
        ("match.all[1].not.user", "user is a", "by_user"),
        ("match.all[2].older_than", "older than 30d by completed", "completed_at"),
    ]


def test_a_plans_statements_all_see_the_same_moment(store: Store, catalog: Catalog) -> None:
    store.add_task("t_1", **COMPLETED)
    policies = policy_set(COMPLETED)
    with catalog.read() as session:
        selection = catalog.select(session, policies.policies[0], policies)
        counts, chosen = selection.survey(session.connection)
        store.query("UPDATE data_pipeline_tasks SET status = 'failed' WHERE task_id = 't_1'")
        store.add_task("t_2", **COMPLETED)
        goes = list(selection.judge_selected(session.connection, chosen))
    assert (counts.total(), chosen) == (1, ["t_1"])
    assert [(one.task.task_id, one.task.status) for one in goes] == [("t_1", "completed")]


def test_a_bracket_in_a_hold_is_only_a_bracket(store: Store, catalog: Catalog) -> None:
    store.add_task("t_[1]_x", **COMPLETED)
    store.add_task("t_1_x", **COMPLETED)
    store.query(
        "INSERT INTO sweepd_holds (hold_id, pattern, owner, reason, placed_at) VALUES ('h', 't_[1]*', 'a', 'b', ?)",
        [datetime(2026, 1, 1)],
    )
    # the other row's id can name no directory, so no policy looks at it
    assert verdicts(catalog, policy_set(COMPLETED)) == {"t_1_x": "selected"}


def test_thousands_of_tasks_are_judged_in_one_pass(store: Store, catalog: Catalog, now: datetime) -> None:
    series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    identity = "printf('task_%05d', i)" if store.sqlite else "'task_' || lpad(i::text, 5, '0')"
    store.query(
        f"{series} INSERT INTO data_pipeline_tasks (task_id, status, parameters, completed_at, created_at)"
        f" SELECT {identity}, 'completed', '{{}}', ?, ? FROM n".replace("%05d", "%05d" if store.sqlite else "%%05d"),
        [ago(now, days=40), ago(now, days=40)],
    )
    policies = policy_set({"older_than": "30d"}, keep={"last": 10})
    with catalog.read() as session:
        selection = catalog.select(session, policies.policies[0], policies)
        judged = list(selection.judge_all(session.connection))
        assert list(selection.judge_some(session.connection, ["task_00001"])) == ["task_00001"]
        assert "yield_per" not in session.connection.get_execution_options(), "the stream bends what comes after it"
    assert [one.task.task_id for one in judged] == [f"task_{i:05}" for i in range(1, 5001)]
    assert sum(one.verdict == "selected" for one in judged) == 4990


def test_no_statement_ever_names_the_column_with_the_password(store: Store, catalog: Catalog, tmp_path: Path) -> None:
    store.add_task("t", **COMPLETED)
    with catalog.read() as session:
        assert {"parameters", "result", "error_message"}.isdisjoint(session.tables.tasks.c.keys())
    assert "secret" not in repr(judge(catalog, policy_set({}))["t"])


@pytest.mark.parametrize("place", ["match", "everything", "protect"])
def test_asking_for_names_where_tasks_have_none_is_an_error_and_not_a_protection_that_never_holds(
    prepared: Prepared, place: str
) -> None:
    store = prepared.postgresql(task_name=False)
    catalog = make_catalog(store)
    store.add_task("task_1", **COMPLETED)
    named = {"task_name": {"glob": "golden*"}}
    policies = {
        "match": policy_set(named),
        "everything": policy_set({"task_name": {"glob": "*"}}, allow_all=True),
        "protect": policy_set(COMPLETED, protect=[named]),
    }[place]
    try:
        with pytest.raises(CatalogNotReady, match="task_name"):
            judge(catalog, policies)
        assert judge(catalog, policy_set(COMPLETED))["task_1"].task.task_name is None
    finally:
        catalog.close()
        prepared.give_back(store)
