"""When policies run. The only module that imports APScheduler; schedules live in YAML, memory in the catalog."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from threading import Thread
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from tzlocal import get_localzone

from daemon import clock, log
from daemon.policy.models import Mode, PolicySet, Schedule

_log = log.get(__name__)
_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# POSIX's own kind of TZ, such as CST-8 or <+08>-8, which the C library knows beside the names of zones.
_POSIX_ZONE = re.compile(r":?(<[^>]+>|[A-Za-z]{3,})[+-]?[0-9]")
_DAY = timedelta(days=1)  # no clock change skips more
_LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Anchor:
    """Since when a policy is known and when it ran last; aware UTC."""

    first_seen_at: datetime
    last_run_at: datetime | None

    @property
    def at(self) -> datetime:
        return self.last_run_at or self.first_seen_at


class _SystemZone(tzinfo):
    """The zone of this process as the C library has it: for a TZ that is the name of none."""

    def fromutc(self, instant: datetime) -> datetime:
        seconds = (instant.replace(tzinfo=UTC) - _EPOCH).total_seconds()
        return instant + timedelta(seconds=time.localtime(seconds).tm_gmtoff)

    def utcoffset(self, wall: datetime | None) -> timedelta | None:
        if wall is None:
            return None
        seconds = time.mktime((wall.year, wall.month, wall.day, wall.hour, wall.minute, wall.second, 0, 0, -1))
        return timedelta(seconds=time.localtime(seconds).tm_gmtoff)

    def dst(self, _wall: datetime | None) -> timedelta | None:
        return None

    def tzname(self, _wall: datetime | None) -> str:
        return time.tzname[0]


def local_zone() -> tzinfo:
    """Return the zone that a schedule without a ``timezone`` is read in: this machine's."""
    try:
        return get_localzone()
    except (ValueError, LookupError, OSError):  # TZ, or what /etc/localtime leads to, is the name of none
        return _SystemZone()


def zone_problem(policies: PolicySet) -> str | None:
    """Return why cron schedules without a ``timezone`` may not run when somebody means; None if all is well."""
    named = os.environ.get("TZ", "")
    relying = [name for name, one in schedules(policies).items() if one.every is None and not one.timezone]
    if not relying or not isinstance(local_zone(), _SystemZone) or _POSIX_ZONE.match(named):
        return None
    return (
        f"the environment variable TZ={named!a} is no time zone that this machine knows, so it counts as UTC: "
        f"set it to a name such as Asia/Shanghai, or give schedule.timezone to {', '.join(sorted(relying))}"
    )


class WallClockCron(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """A cron expression read on the wall clock of a zone, so that a clock change makes no job run twice or never.

    A time the change skips runs at the instant it would have been; a time it repeats runs the first time only.
    (APScheduler's own trigger fires twice in the repeated hour.)
    """

    def __init__(self, schedule: Schedule) -> None:
        fields = schedule.cron_fields
        if fields is None:
            raise ValueError("a schedule without a cron expression")
        self._zone = ZoneInfo(schedule.timezone) if schedule.timezone else local_zone()
        self._jitter = int(schedule.jitter.total_seconds()) if schedule.jitter else None
        self._cron = CronTrigger(
            minute=fields.minute,
            hour=fields.hour,
            day=fields.day,
            month=fields.month,
            day_of_week=fields.day_of_week,
            timezone=UTC,
        )

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """The next instant after ``previous_fire_time``, or from ``now`` on if there is none."""
        earliest = now if previous_fire_time is None else max(now, previous_fire_time + _TICK)
        instant = self.after(earliest)
        if instant is None or self._jitter is None:
            return instant
        return self._apply_jitter(instant, self._jitter, now)  # type: ignore[no-any-return]

    def after(self, earliest: datetime) -> datetime | None:
        """The first instant not before ``earliest``, without jitter; None if there never is one."""
        # Read on the clock of before a change, too: what the change has skipped may still be due.
        wall = min(self._wall(earliest), earliest + (self._wall(earliest - _DAY) - (earliest - _DAY)))
        first: datetime | None = None
        while (found := self._cron.get_next_fire_time(None, wall)) is not None:
            instant = found.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
            if instant >= earliest:
                first = instant if first is None else min(first, instant)
                if self._wall(instant) == found:  # not skipped: what comes later on the clock is later
                    break
            wall = found + _TICK
        return first

    def _wall(self, instant: datetime) -> datetime:
        """What the zone's clock shows, as if it were UTC."""
        return instant.astimezone(self._zone).replace(tzinfo=UTC, fold=0)


class Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Every so often, counted from an anchor, so that restarts neither hasten nor starve a policy."""

    def __init__(self, period: timedelta, anchor: datetime, jitter: timedelta | None) -> None:
        self._period = period
        self._anchor = anchor
        self._jitter = int(jitter.total_seconds()) if jitter else None

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next multiple of the period after ``previous_fire_time``, or from ``now`` on if there is none."""
        instant = self.after(now if previous_fire_time is None else max(now, previous_fire_time + _TICK))
        if self._jitter is None:
            return instant
        return self._apply_jitter(instant, self._jitter, now)  # type: ignore[no-any-return]

    def after(self, earliest: datetime) -> datetime:
        """The first instant not before ``earliest``, without jitter."""
        periods = -(-(earliest - self._anchor) // self._period)
        return self._anchor + self._period * max(periods, 1)


def schedules(policies: PolicySet) -> dict[str, Schedule]:
    """Of every policy that runs by one, by name: a disabled one runs by none."""
    return {
        policy.name: policy.schedule
        for policy in policies.policies
        if policy.schedule is not None and policy.mode is not Mode.DISABLED
    }


def trigger_for(schedule: Schedule, anchor: datetime) -> WallClockCron | Every:
    """The trigger of a schedule; ``anchor`` is where ``every`` counts from."""
    if schedule.every is not None:
        return Every(schedule.every, anchor, schedule.jitter)
    return WallClockCron(schedule)


def missed_run(schedule: Schedule, anchor: Anchor, now: datetime) -> bool:
    """Whether the schedule had a run between the policy's last one and ``now``."""
    due = due_after(schedule, anchor.at, anchor.at)
    return due is not None and due < now


def delayed_until(schedule: Schedule, anchor: Anchor, now: datetime) -> datetime | None:
    """Until when the jitter may delay a run that is due and has not begun; None if there is no such run."""
    if schedule.jitter is None:
        return None
    due = trigger_for(schedule, anchor.at).after(max(now - schedule.jitter, anchor.at + _TICK))
    return None if due is None or due > now else due + schedule.jitter


def due_after(schedule: Schedule, anchor: datetime, last_run: datetime) -> datetime | None:
    """The first run, without jitter, that the schedule asks for after ``last_run``; None if there never is one."""
    return trigger_for(schedule, anchor).after(last_run + _TICK)


class _Wakeful(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Looks at the clock every few seconds: its waits do not see that the machine slept, or that the clock was set."""

    def _process_jobs(self) -> float:
        wait: float | None = super()._process_jobs()
        return _LOOK_S if wait is None else min(wait, _LOOK_S)


class Scheduler:
    """Runs policies on threads, by name. Runs of one policy never overlap, and runs missed in a row become one."""

    def __init__(self, run: Callable[[str], None], *, workers: int) -> None:
        self._run = run
        self._schedules: dict[str, Schedule] = {}
        self._scheduler = _Wakeful(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(workers)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self, policies: PolicySet, anchors: Mapping[str, Anchor]) -> None:
        """Schedule every policy that has a schedule and is not disabled, and begin."""
        now = clock.now()
        if (problem := zone_problem(policies)) is not None:
            _log.warning("time_zone_unknown", reason=problem)
        for name, schedule in schedules(policies).items():
            first: datetime | None = None
            if policies.get(name).catch_up and missed_run(schedule, anchors[name], now):
                first = now
            elif (end := delayed_until(schedule, anchors[name], now)) is not None:
                first = now + (end - now) * random.random()  # noqa: S311  # no secret
            self._add(name, schedule, anchors[name], **({} if first is None else {"next_run_time": first}))
        self._scheduler.start()
        for name in self._schedules:
            self._tell(name)

    def replace(self, policies: PolicySet, anchors: Mapping[str, Anchor]) -> None:
        """Go on with these. What keeps its schedule keeps its next run; nothing is caught up with."""
        wanted = schedules(policies)
        for name in [name for name, schedule in self._schedules.items() if wanted.get(name) != schedule]:
            del self._schedules[name]
            self._scheduler.remove_job(name)  # one that runs goes on to its end
        for name in [name for name in wanted if name not in self._schedules]:
            self._add(name, wanted[name], anchors[name])
            self._tell(name)

    def next_runs(self) -> dict[str, datetime]:
        """When each scheduled policy runs next; aware UTC. Asks memory alone."""
        if not self._scheduler.running:
            return {}
        return {job.id: job.next_run_time.astimezone(UTC) for job in self._scheduler.get_jobs() if job.next_run_time}

    @property
    def threads(self) -> list[Thread]:
        """The one that knows when a policy is due, while there is one. Until then it sleeps most of the time."""
        thread = self._scheduler._thread if self._scheduler.running else None
        return [] if thread is None else [thread]

    def stop(self) -> None:
        """Begin no further run, and wait for the running ones."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _add(self, name: str, schedule: Schedule, anchor: Anchor, **options: datetime) -> None:
        self._schedules[name] = schedule
        trigger = trigger_for(schedule, min(anchor.at, clock.now()))  # a clock was wrong if that is yet to come
        self._scheduler.add_job(self._guarded, trigger, args=[name], id=name, name=name, **options)

    def _tell(self, name: str) -> None:
        job = self._scheduler.get_job(name)
        if job is not None and job.next_run_time is not None:
            _log.info("policy_scheduled", policy=name, next_run=job.next_run_time.astimezone(UTC).isoformat())

    def _guarded(self, name: str) -> None:
        try:
            self._run(name)
        except Exception:
            _log.exception("sweep_crashed", policy=name)  # a bug; the schedule goes on
