"""The operations under torture: what is there before, and what may be there afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from daemon.deletion.models import What
from support.auditor import DELETED, KEPT, RETAINED, Before, audit_task
from support.site import Site, request
from torture.operations import AT_ONCE, WEEK

_numbers = count(1)


@dataclass(frozen=True)
class Scenario:
    """``fates`` are all that may become of its tasks. ``together``: of all of them the same."""

    name: str
    work: str
    fates: frozenset[str]
    tasks: int = 1
    files: int = 3
    rows: bool = True
    before: Callable[[Site, list[str]], None] | None = None
    together: bool = True

    def prepare(self, site: Site) -> list[Before]:
        """Make its tasks."""
        number = next(_numbers)
        names = [f"task_{number}_{index}" for index in range(self.tasks)]
        made = [site.task(n, files=self.files) if self.rows else site.directory(n, files=self.files) for n in names]
        if self.before is not None:
            self.before(site, names)
        return made

    def judge(self, site: Site, tasks: Sequence[Before]) -> None:
        """AssertionError if anything is not as it may be."""
        assert site.entries() == [], f"the trash is not empty: {[entry.name for entry in site.entries()]}"
        quarantine = site.path / ".sweepd" / "quarantine"
        assert not quarantine.exists() or not list(quarantine.iterdir()), "something is in quarantine"
        fates = [audit_task(site.store, site.path, task) for task in tasks]
        assert set(fates) <= self.fates, f"{fates} is not among {sorted(self.fates)}"
        assert not self.together or len(set(fates)) == 1, f"some and some: {fates}"

    def clear(self, site: Site) -> None:
        """What was to go and waits goes now."""
        if self.before is _expired:
            site.retention.purge_expired()


def _retained(what: What) -> Callable[[Site, list[str]], None]:
    def prepare(site: Site, names: list[str]) -> None:
        site.engine.delete_group([request(name, what, retain=WEEK) for name in names])

    return prepare


def _expired(site: Site, names: list[str]) -> None:
    site.engine.delete_group([request(name, What.DIRECTORY_AND_RECORDS, retain=AT_ONCE) for name in names])


_GONE = frozenset({KEPT, DELETED})
_WAITS = frozenset({KEPT, RETAINED})

SCENARIOS: tuple[Scenario, ...] = (
    Scenario("delete/kept-records", "delete-directory", _GONE),
    Scenario("delete/records", "delete-records", _GONE),
    Scenario("delete/large", "delete-directory", _GONE, files=270),
    Scenario("delete/orphan", "delete-directory", _GONE, rows=False),
    Scenario("retain/kept-records", "retain-directory", _WAITS),
    Scenario("retain/records", "retain-records", _WAITS),
    Scenario("batch/kept-records", "batch-directory", _GONE, tasks=3),
    Scenario("batch/records", "batch-records", _GONE, tasks=3),
    Scenario("batch/retain", "batch-retain", _WAITS, tasks=3),
    Scenario("restore/kept-records", "restore", _WAITS, before=_retained(What.DIRECTORY)),
    Scenario("restore/records", "restore", _WAITS, before=_retained(What.DIRECTORY_AND_RECORDS)),
    Scenario("purge/one", "purge", frozenset({RETAINED, DELETED}), before=_expired),
    Scenario("in-place/kept-records", "delete-directory-in-place", _GONE),
    Scenario("in-place/records", "delete-records-in-place", _GONE),
    Scenario("in-place/large", "delete-directory-in-place", _GONE, files=270),
    Scenario("in-place/orphan", "delete-directory-in-place", _GONE, rows=False),
    Scenario("in-place/three", "batch-directory-in-place", _GONE, tasks=3, together=False),
    Scenario("purge/in-place", "purge-in-place", frozenset({RETAINED, DELETED}), before=_expired),
    Scenario("purge/three", "purge", frozenset({RETAINED, DELETED}), tasks=3, before=_expired, together=False),
)
