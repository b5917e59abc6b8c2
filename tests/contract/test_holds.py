"""Holds: a person's word that a task stays beats everybody's that it goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from daemon.catalog import holds
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.clock_guard import ClockGuard
from daemon.catalog.patterns import fits
from daemon.deletion.claim import Claim
from daemon.deletion.hold_terms import check_pattern
from daemon.deletion.models import Trigger, What
from daemon.errors import CatalogUnavailable, ErrorCode, SweepdError, TaskRefused
from daemon.sweep.report import SweepReport
from support.auditor import DELETED, KEPT, RETAINED, audit, audit_task
from support.judging import policy_set, verdicts
from support.prepared import Prepared
from support.site import Site, make_catalog, opened, request
from support.stores import Store

DAY = timedelta(days=1)


def refusal(site: Site, task_id: str, what: What = What.DIRECTORY, **options: Any) -> TaskRefused:
    with pytest.raises(TaskRefused) as caught:
        site.engine.delete(request(task_id, what, **options))
    return caught.value


@pytest.mark.parametrize("what", [What.DIRECTORY, What.DIRECTORY_AND_RECORDS])
@pytest.mark.parametrize("options", [{}, {"force": True}, {"retain": DAY}], ids=["plain", "force", "retain"])
def test_nobody_deletes_what_is_held(site: Site, what: What, options: dict[str, Any]) -> None:
    before = site.task("task_1")
    hold = site.hold("task_1", until=None).hold
    error = refusal(site, "task_1", what, **options)
    assert error.code is ErrorCode.TASK_HELD
    assert error.details == {
        "task_id": "task_1",
        "hold_id": hold.hold_id,
        "owner": "alice",
        "reason": "an audit",
        "until": None,
    }
    assert str(error) == (
        "task_1 is held by alice: an audit; nothing deletes it before that is over or released: "
        f"sweepd release {hold.hold_id}"
    )
    assert audit_task(site.store, site.path, before) == KEPT
    assert site.entries() == []
    assert site.metric("sweepd_deletions_total", trigger="api", outcome="refused") == 1
    site.holds.release(hold.hold_id, "test")
    site.engine.delete(request("task_1", what, force=True))


def test_a_hold_comes_before_running_and_a_directory_without_a_row_can_be_held(site: Site) -> None:
    running = site.task("task_running", status="in_progress")
    orphan = site.directory("orphan_1")
    site.hold("task_running")
    site.hold("orphan_?")
    assert refusal(site, "task_running").code is ErrorCode.TASK_HELD
    assert refusal(site, "task_running", force=True).code is ErrorCode.TASK_HELD
    error = refusal(site, "orphan_1", force=True)
    assert (error.code, "is held (with orphan_?) by alice" in str(error)) == (ErrorCode.TASK_HELD, True)
    assert refusal(site, "orphan_2", force=True).code is ErrorCode.TASK_NOT_FOUND
    assert [audit_task(site.store, site.path, task) for task in (running, orphan)] == [KEPT, KEPT]


def test_records_alone_are_held_too(site: Site) -> None:
    site.store.add_task("task_1", directory_exists=False)
    before = site.store.task("task_1")
    site.hold("task_*")
    assert refusal(site, "task_1", What.RECORDS).code is ErrorCode.TASK_HELD
    assert refusal(site, "task_1", What.DIRECTORY_AND_RECORDS).code is ErrorCode.TASK_HELD
    assert site.store.task("task_1") == before


def test_a_group_loses_only_what_is_held_and_asks_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [site.task(f"task_{number}") for number in range(5)]
    site.hold("task_1")
    site.hold("*_3", owner="bob")
    asked: list[object] = []
    claim = Session.claim

    def counted(session: Session, task_ids: Sequence[str]) -> Any:
        asked.append(task_ids)
        return claim(session, task_ids)

    monkeypatch.setattr(Session, "claim", counted)
    results = site.engine.delete_group([request(task.task_id) for task in before])
    said = [result.details["owner"] if isinstance(result, SweepdError) else "deleted" for result in results]
    assert said == ["deleted", "alice", "deleted", "bob", "deleted"]
    assert [audit_task(site.store, site.path, task) for task in before] == [DELETED, KEPT, DELETED, KEPT, DELETED]
    assert len(asked) == 1


def test_a_sweep_passes_over_what_was_held_after_its_plan(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    old: dict[str, Any] = {"created_at": "2024-01-01 00:00:00", "completed_at": "2024-01-01 00:00:00"}
    before = [site.task(f"task_{number}", **old) for number in range(4)]
    policies = policy_set({"older_than": "30d"}, mode="enforce")
    site.hold("task_0")
    assert verdicts(site.catalog, policies)["task_0"] == "held"
    sweeper = site.sweeper(ClockGuard(site.catalog), workers=1)

    def hold_it(report: SweepReport) -> None:
        if not report.deleted and not report.dropped:
            site.hold("task_2")

    report = sweeper.sweep(
        policies,
        policies.policies[0],
        Trigger.CLI,
        "test",
        progress=hold_it,
    )
    assert [(missed.task_id, missed.code) for missed in report.dropped] == [("task_2", ErrorCode.TASK_HELD)]
    assert (len(report.deleted), report.failed, report.succeeded) == (2, [], True)
    assert [audit_task(site.store, site.path, task) for task in before] == [KEPT, DELETED, KEPT, DELETED]


def test_a_hold_ends_by_the_catalogs_clock_and_its_row_stays(site: Site) -> None:
    before = site.task("task_1")
    hold = site.hold("task_1", lasting=timedelta(seconds=60)).hold
    assert hold.expires_at == hold.placed_at + timedelta(seconds=60)
    assert "until" in str(refusal(site, "task_1"))
    stamp = hold.placed_at.replace(tzinfo=None) if site.store.sqlite else hold.placed_at
    site.store.query("UPDATE sweepd_holds SET expires_at = ?", [stamp])
    site.engine.delete(request("task_1"))
    assert audit_task(site.store, site.path, before) == DELETED
    assert site.holds.listed()[0] == []
    [over], now = site.holds.listed(everything=True)
    assert (over.hold_id, over.released_at, over.in_force(now)) == (hold.hold_id, None, False)


def test_a_hold_that_would_be_over_already_is_not_placed(site: Site) -> None:
    with site.catalog.read() as session:
        now = session.now.utc
    with pytest.raises(TaskRefused, match="would be over already") as caught:
        site.hold("task_1", until=now)
    assert caught.value.code is ErrorCode.INVALID_HOLD
    assert site.holds.listed(everything=True)[0] == []


def test_released_once_by_id_or_by_pattern_and_never_forgotten(site: Site) -> None:
    first, second, other = (site.hold(pattern).hold for pattern in ("task_1", "task_1", "task_*"))
    assert site.metric("sweepd_holds") == 3
    assert site.holds.release(first.hold_id, "cli:bob").released_by == "cli:bob"
    with pytest.raises(TaskRefused, match=r"has been released already at [-0-9T:]*Z by cli:bob") as caught:
        site.holds.release(first.hold_id, "cli:carol")
    assert caught.value.code is ErrorCode.HOLD_NOT_FOUND
    assert [hold.hold_id for hold in site.holds.release_pattern("task_1", "cli:bob")] == [second.hold_id]
    with pytest.raises(TaskRefused, match=f"it is held by {other.hold_id} on task_"):
        site.holds.release_pattern("task_1", "cli:bob")
    with pytest.raises(TaskRefused, match="there is no hold"):
        site.holds.release("f" * 28, "cli:bob")
    assert [hold.hold_id for hold in site.holds.listed()[0]] == [other.hold_id]
    assert site.metric("sweepd_holds") == 1
    journal = site.store.query("SELECT hold_id, released_by FROM sweepd_holds ORDER BY hold_id")
    assert [row["released_by"] for row in journal] == ["cli:bob", "cli:bob", None]


def test_what_it_is_about_is_said(site: Site) -> None:
    for number in range(4):
        site.task(f"task_{number}")
    site.engine.delete(request("task_1"))
    site.engine.delete(request("task_2", retain=DAY))
    covered = [site.hold(pattern).covered for pattern in ("task_?", "task_0", "task_1", "task_2", "task_9", "x*")]
    assert [(one.tasks, one.gone, one.in_trash) for one in covered] == [
        (4, 2, 1),
        (1, 0, 0),
        (1, 1, 0),
        (1, 1, 1),
        (0, 0, 0),
        (0, 0, 0),
    ]


def test_what_waits_in_the_trash_stays_there_while_it_is_held_and_comes_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.deletion.retention._AT_ONCE", 2)  # what is held is due first, and in nobody's way
    before = [site.task(f"task_{number}") for number in (1, 2, 3, 10, 11, 4)]
    at_once = timedelta(microseconds=1)
    ids = {}
    for task in before:
        outcome = site.engine.delete(request(task.task_id, What.DIRECTORY_AND_RECORDS, retain=at_once))
        ids[task.task_id] = outcome.deletion_id or ""
    site.hold("task_?")
    held = [*before[:3], before[5]]
    assert site.retention.purge_expired() == 2
    assert site.retention.purge_oldest(lambda: True) == 0
    assert {audit_task(site.store, site.path, task) for task in held} == {RETAINED}
    with pytest.raises(TaskRefused) as caught:
        site.retention.purge([ids["task_3"]])
    assert caught.value.code is ErrorCode.TASK_HELD
    assert site.restorer.restore_task("task_3", "test")[0].directory
    [back] = [task for task in before if task.task_id == "task_3"]
    assert audit_task(site.store, site.path, back) == KEPT
    site.holds.release_pattern("task_?", "test")
    assert site.retention.purge([ids["task_4"]])[0].state == "purged"
    assert site.retention.purge_oldest(lambda: True) == 2
    assert site.entries() == []


def test_a_hold_that_comes_between_the_look_and_the_purge_wins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [site.task("task_1"), site.task("task_2")]
    ids = [site.engine.delete(request(task.task_id, retain=timedelta(microseconds=1))).deletion_id for task in before]
    group = site.retention._purge_group

    def late(*arguments: Any) -> int:
        if not site.holds.listed()[0]:
            site.hold("task_1")
        return group(*arguments)

    monkeypatch.setattr(site.retention, "_purge_group", late)
    assert site.retention.purge_expired() == 1
    assert [audit_task(site.store, site.path, task) for task in before] == [RETAINED, DELETED]
    site.holds.release_pattern("task_1", "test")
    with pytest.raises(TaskRefused) as caught:
        site.retention.purge([str(ids[0])])
    assert caught.value.code is ErrorCode.TASK_HELD
    assert audit_task(site.store, site.path, before[0]) == RETAINED
    assert site.entries() == []


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("no such thing"), ErrorCode.TASK_HELD), (CatalogUnavailable("gone"), ErrorCode.CATALOG_UNAVAILABLE)],
    ids=["any-failure", "catalog-gone"],
)
def test_what_cannot_be_looked_up_counts_as_held(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception, code: ErrorCode
) -> None:
    before = [site.task("task_1"), site.task("task_2")]
    waiting = site.task("task_3")
    site.engine.delete(request("task_3", retain=timedelta(microseconds=1)))

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        for name in ("active", "claim"):
            patch.setattr(holds, name, fail)
        results = site.engine.delete_group([request(task.task_id, force=True) for task in before])
        assert [result.code for result in results if isinstance(result, SweepdError)] == [code, code]
        if code is ErrorCode.TASK_HELD:
            assert str(results[0]) == (
                "the holds could not be looked up (no such thing), so every task counts as held; nothing was deleted"
            )
        for purge in (site.retention.purge_expired, lambda: site.retention.purge_oldest(lambda: True)):
            with pytest.raises(SweepdError) as caught:
                purge()
            assert caught.value.code is code
    assert set(audit(site.store, site.path, before).values()) == {KEPT}
    assert audit_task(site.store, site.path, waiting) == RETAINED
    assert site.entries() == []


def test_a_row_that_makes_no_sense_counts_as_a_hold_of_everything(site: Site) -> None:
    """SQLite takes any text for a date; PostgreSQL may have lost the table."""
    before = site.task("task_1")
    if site.store.sqlite:
        site.hold("x*")
        site.store.query("UPDATE sweepd_holds SET expires_at = 'tomorrow'")
        code = ErrorCode.TASK_HELD
    else:
        site.store.query("ALTER TABLE sweepd_holds RENAME TO holds_elsewhere")
        code = ErrorCode.CATALOG_NOT_READY
    try:
        assert _code(site, "task_1") is code
    finally:
        if not site.store.sqlite:
            site.store.query("ALTER TABLE holds_elsewhere RENAME TO sweepd_holds")
    assert audit_task(site.store, site.path, before) == KEPT


def _code(site: Site, task_id: str) -> ErrorCode:
    with pytest.raises(SweepdError) as caught:
        site.engine.delete(request(task_id, force=True))
    return caught.value.code


@pytest.mark.parametrize("pattern", ["task_1", "task_*", "orphan_1"])
def test_a_hold_waits_for_a_claim_in_hand_and_says_that_it_comes_too_late(
    site: Site, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    """Whether it names the task, means it, or there is no row that could be locked."""
    name = "orphan_1" if pattern == "orphan_1" else "task_1"
    before = site.directory(name) if name == "orphan_1" else site.task(name)
    looked, go_on = threading.Event(), threading.Event()
    move = Claim._move

    def slowly(self: Claim, going: Any) -> None:
        looked.set()
        assert go_on.wait(10)
        move(self, going)

    monkeypatch.setattr(Claim, "_move", slowly)
    with ThreadPoolExecutor(2) as pool:
        deletion = pool.submit(site.engine.delete, request(name, force=True))
        assert looked.wait(10)
        placing = pool.submit(site.hold, pattern)
        with pytest.raises(TimeoutError):
            placing.result(0.3)
        go_on.set()
        assert deletion.result(10).directory_deleted
        covered = placing.result(10).covered
    assert (covered.tasks, covered.gone) == ((0, 0) if name == "orphan_1" else (1, 1))
    assert audit_task(site.store, site.path, before) == DELETED


def test_a_claim_waits_for_a_hold_in_hand_and_obeys_it(postgres_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site = postgres_site
    before = site.task("task_1")
    placed, go_on = threading.Event(), threading.Event()
    covered = holds.covered

    def slowly(*arguments: Any) -> Any:
        placed.set()
        assert go_on.wait(10)
        return covered(*arguments)

    monkeypatch.setattr(holds, "covered", slowly)
    with ThreadPoolExecutor(2) as pool:
        placing = pool.submit(site.hold, "task_*")
        assert placed.wait(10)
        deletion = pool.submit(refusal, site, "task_1")
        with pytest.raises(TimeoutError):
            deletion.result(0.3)
        go_on.set()
        placing.result(10)
        assert deletion.result(10).code is ErrorCode.TASK_HELD
    assert audit_task(site.store, site.path, before) == KEPT


def test_readers_and_backups_do_not_keep_a_hold_waiting(postgres_site: Site) -> None:
    site = postgres_site
    with site.catalog.read() as session:
        assert site.catalog.holds(session) == []
        site.hold("task_1")


@pytest.mark.parametrize("glob", [False, True], ids=["each-by-its-name", "one-for-all"])
def test_a_hold_acknowledged_before_a_deletion_began_is_never_violated(site: Site, glob: bool, tmp_path: Path) -> None:
    """Thirty deletions by three threads; from somewhere in the middle holds are placed on those still to come."""
    before = [site.task(f"task_{number:02}") for number in range(30)]
    names = iter([task.task_id for task in before])
    lock = threading.Lock()
    acknowledged: set[str] = set()
    begun_after: set[str] = set()
    results: dict[str, str] = {}

    def delete() -> None:
        while True:
            with lock:
                name = next(names, None)
                if name is None:
                    return
                if name in acknowledged:
                    begun_after.add(name)
            try:
                site.engine.delete(request(name))
                results[name] = "deleted"
            except TaskRefused as error:
                results[name] = error.code

    def place() -> None:
        with opened(site.store, tmp_path / "root") as other:
            patterns = ["task_2?"] if glob else [f"task_{number:02}" for number in range(29, 9, -1)]
            for pattern in patterns:
                covered = other.hold(pattern).covered
                with lock:
                    acknowledged.update(task.task_id for task in before if fits(pattern, task.task_id))
                if not glob and covered.gone == 0:
                    late.add(pattern)

    late: set[str] = set()
    with ThreadPoolExecutor(4) as pool:
        for future in [*(pool.submit(delete) for _ in range(3)), pool.submit(place)]:
            future.result(60)
    assert {results[name] for name in begun_after} <= {"TASK_HELD"}
    assert {results[name] for name in late} <= {"TASK_HELD"}, "it was said to be there, so it stays"
    for task in before:
        fate = audit_task(site.store, site.path, task)
        assert fate == (DELETED if results[task.task_id] == "deleted" else KEPT)
    assert set(results.values()) <= {"deleted", "TASK_HELD"}


letters = st.text("abAB01._-", max_size=6)
task_ids = st.builds(lambda first, rest: first + rest, st.sampled_from("abAB01"), letters)
globs = st.text("abAB01._-*?", min_size=1, max_size=8).filter(lambda text: _is_pattern(text))


def _is_pattern(text: str) -> bool:
    try:
        return check_pattern(text) == text
    except ValueError:
        return False


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def one_catalog(
    request: pytest.FixtureRequest, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Catalog]:
    store: Store = (
        prepared.sqlite(tmp_path_factory.mktemp("holds")) if request.param == "sqlite" else prepared.postgresql()
    )
    made = make_catalog(store)
    yield made
    made.close()
    prepared.give_back(store, again=True)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(patterns=st.lists(globs | task_ids, min_size=1, max_size=3), names=st.lists(task_ids, min_size=1, max_size=12))
@example(patterns=["a_b"], names=["a_b", "aab", "A_B"])
@example(patterns=["a?b*"], names=["a_b", "ab", "a.b.", "aAbB"])
@example(patterns=["*a*a*"], names=["a", "aa", "baab", "aba"])
def test_the_database_and_the_daemon_read_patterns_alike(
    one_catalog: Catalog, patterns: list[str], names: list[str]
) -> None:
    with one_catalog.read() as session:
        now = session.now.utc
        found = [holds.Hold(f"{number}", pattern, "o", "r", now, None) for number, pattern in enumerate(patterns)]
        column = sa.literal_column("name", sa.String)
        listed = sa.union_all(*(sa.select(sa.literal(name).label("name")) for name in names)).subquery()
        is_held = holds.held(found, column, sqlite=one_catalog.database.is_sqlite)
        statement = sa.select(column, is_held).select_from(listed)
        said = {name: bool(value) for name, value in session.connection.execute(statement)}
    assert said == {name: holds.holding(found, name) is not None for name in names}
    assert said == {name: any(_plainly(pattern, name) for pattern in patterns) for name in names}


def _plainly(pattern: str, text: str) -> bool:
    """Letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_plainly(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and _plainly(pattern[1:], text[1:])


def test_many_stars_take_no_longer() -> None:
    assert not fits("*a" * 60 + "*b", "a" * 128)
    assert fits("*a" * 60 + "*", "a" * 128)
