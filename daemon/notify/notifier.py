"""Collects what is to be told and makes messages of it. Nobody who deletes waits for it; its memory is the catalog's.

A sweep is told from its record, an alarm from the difference to those that are remembered, an event from the log. What
cannot be told because the database is away is told without it, once that has lasted for ``notifications.patience``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Final

from daemon import clock, log
from daemon.catalog import announcements, notices, outbox, suspensions, sweeps
from daemon.catalog.catalog import Catalog, Session
from daemon.catalog.notices import Alarm, Notice
from daemon.errors import SweepdError
from daemon.metrics.registry import Metrics
from daemon.notify import alarms
from daemon.notify.announcing import announce, announces, interval
from daemon.notify.delivery import Sender
from daemon.notify.digest import digest
from daemon.notify.events import MOST, Events
from daemon.notify.notices import of_sweep
from daemon.policy.models import Policy, PolicySet
from daemon.webhooks import NotificationsConfig, Webhook

_log = log.get(__name__)

_TICK_S: Final = 1.0
_LOOK_S: Final = 5.0
_GOODBYE_S: Final = 5.0
_SWEEPS_AT_ONCE: Final = 1000
_NEWS: Final = timedelta(days=1)
"""A sweep that ended longer ago, while nobody listened, is not told any more."""


class Notifier:
    """One thread, and one more for each webhook. ``config`` and ``policies`` give what is in force.

    ``problems`` says what is wrong with each component, ``starting`` being nothing; ``unsettled``, how many entries of
    the trash are stuck, None if that is not known yet; ``root`` is named in the messages.
    """

    def __init__(
        self,
        catalog: Catalog,
        metrics: Metrics,
        root: str,
        *,
        config: Callable[[], NotificationsConfig],
        policies: Callable[[], PolicySet],
        problems: Callable[[], Mapping[str, str | None]],
        starting: str,
        unsettled: Callable[[], int | None],
    ) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._root = root
        self._config = config
        self._policies = policies
        self._problems = problems
        self._starting = starting
        self._unsettled = unsettled
        self._events = Events()
        self._senders: dict[str, Sender] = {}
        self._waiting: list[Notice] = []
        self._raised: dict[str, Alarm] | None = None
        self._told_without: dict[str, Alarm] = {}
        self._lost_at: float | None = None
        self._window_ends: float | None = None
        self._look_at = 0.0
        self._announce_at: dict[Policy, float] | None = None
        self._stopping = threading.Event()
        self._held = ExitStack()
        self.thread = threading.Thread(target=self._work, name="notifier", daemon=True)

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._held.enter_context(log.listening(self._events.listen))
        self.thread.start()

    def stop(self) -> None:
        """Keep what has come until now, and end. What was not sent is sent by the next start."""
        self._held.close()
        self._stopping.set()
        if self.thread.is_alive():
            self.thread.join(_GOODBYE_S)  # it may be planning; what it has not kept is found again
        for sender in self._senders.values():
            sender.stop()

    def _work(self) -> None:
        while not self._stopping.wait(_TICK_S):
            self._try(self._tick)
        self._try(self._collect)
        self._try(self._keep)

    def _try(self, job: Callable[[], object]) -> None:
        try:
            job()
        except SweepdError as error:  # the catalog, which is watched, and told of, elsewhere
            _log.debug("notifier_waits", reason=str(error))
        except Exception:
            _log.exception("notifier_crashed")

    def _tick(self) -> None:
        self._engage()
        self._collect()
        if not self._reachable():
            if self._senders:
                self._do_without()
            return
        self._lost_at = None
        self._keep()
        now = clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_S
            if self._senders:
                self._look()
            self._announce()
            if self._senders:
                self._measure()
        if self._window_ends is not None and now >= self._window_ends:
            self._make_messages()

    def _engage(self) -> None:
        """One sender for each webhook there is."""
        wanted = {webhook.name for webhook in self._config().webhooks}
        for name in self._senders.keys() - wanted:
            self._senders.pop(name).stop()
            self._metrics.notifications.forget(name)
        for name in wanted - self._senders.keys():
            self._senders[name] = Sender(name, self._finder(name), self._catalog, self._metrics, self._reachable)
            self._senders[name].start()

    def _finder(self, name: str) -> Callable[[], Webhook | None]:
        return lambda: next((one for one in self._config().webhooks if one.name == name), None)

    def _reachable(self) -> bool:
        return self._problems().get(alarms.CATALOG) is None

    def _collect(self) -> None:
        self._waiting = [*self._waiting, *self._events.take()][-MOST:]
        if not self._senders:
            self._waiting.clear()  # there is nobody to tell

    def _keep(self) -> None:
        """What has come from events into the catalog."""
        if self._waiting:
            with self._catalog.write() as session:
                notices.add(session.connection, self._waiting)
            self._waiting = []
            self._open_window()

    def _open_window(self) -> None:
        if self._window_ends is None:
            self._window_ends = clock.monotonic() + self._config().window.total_seconds()

    def _look(self) -> None:
        """Sweeps that have ended, and alarms that have changed."""
        with self._catalog.read() as session:
            ended = sweeps.has_unnoticed(session.connection)
            suspended = self._suspended(session)
            if self._raised is None:  # from now on nobody else changes it
                self._raised = notices.raised(session.connection)
            if notices.oldest(session.connection) is not None:  # from before the start, or of a command
                self._open_window()
        now = clock.now()
        found = alarms.conditions(self._problems(), self._starting, self._unsettled(), suspended)
        found.pop(alarms.CATALOG, None)  # it has just answered; should it be lost, patience decides
        raised = self._raised | self._told_without
        up = {name: Alarm(now, one.reason) for name, one in found.items() if name not in raised}
        unknown = alarms.unknown(self._problems(), self._starting, self._unsettled())
        down = {name: alarm for name, alarm in raised.items() if name not in found and name not in unknown}
        if not (ended or up or down or self._told_without):
            return
        new = [alarms.begin(name, found[name], now) for name in up]
        new += [alarms.end(name, alarm, now) for name, alarm in down.items()]
        with self._catalog.write() as session:
            if ended:
                records = sweeps.take_unnoticed(session.connection, since=now - _NEWS, limit=_SWEEPS_AT_ONCE)
                new += [of_sweep(record) for record in records]
            notices.add(session.connection, new)
            lasting = {name: alarm for name, alarm in self._told_without.items() if name not in down}
            notices.change(session.connection, {**lasting, **up}, down)
        self._raised = {name: alarm for name, alarm in {**raised, **up}.items() if name not in down}
        self._told_without = {}
        if new:
            self._open_window()

    def _suspended(self, session: Session) -> dict[str, str]:
        found = suspensions.all_of_them(session.connection)
        policies = {policy.name: policy for policy in self._policies().policies}
        return {
            name: one.reason for name, one in found.items() if name in policies and policies[name].digest == one.digest
        }

    def _announce(self) -> None:
        """Announce, whether there is a webhook or not: what is not announced is not deleted."""
        tell = announces(self._config())
        policies, now = self._policies(), clock.monotonic()
        telling = [policy for policy in policies.policies if policy.notify is not None]
        at = self._announce_at
        if at is None or set(telling) != at.keys():  # at the start, `notify` may have been taken out meanwhile
            with self._catalog.write() as session:
                announcements.forget_policies(session.connection, but=[policy.name for policy in telling])
            at = self._announce_at = {policy: (at or {}).get(policy, now) for policy in telling}
        for policy in telling:
            if now >= at[policy] and not self._stopping.is_set():
                at[policy] = now + interval(policy).total_seconds()
                if announce(self._catalog, policies, policy, tell=tell) and tell:
                    self._open_window()

    def _make_messages(self) -> None:
        """Everything that waits becomes one message to each webhook that asks for any of it."""
        now = clock.now()
        with self._catalog.write() as session:
            taken = notices.take(session.connection)
            for webhook in self._config().webhooks:
                message = digest(webhook, taken, self._root, now)
                dropped = 0 if message is None else outbox.put(session.connection, message)
                if dropped:
                    self._metrics.notifications.dropped(webhook.name, dropped)
                    _log.error("notification_given_up", webhook=webhook.name, reason="too many wait", messages=dropped)
        self._window_ends = None
        for sender in self._senders.values():
            sender.wake()

    def _measure(self) -> None:
        with self._catalog.read() as session:
            queues = outbox.queues(session.connection)
        now = clock.now()
        for name in self._senders:
            queue = queues.pop(name, None)
            age = 0.0 if queue is None or queue.oldest_at is None else (now - queue.oldest_at).total_seconds()
            self._metrics.notifications.waiting(name, 0 if queue is None else queue.waiting, age)
        if queues:  # of webhooks that are gone
            with self._catalog.write() as session:
                for name in queues:
                    outbox.forget(session.connection, name)

    def _do_without(self) -> None:
        """The database is away. When that has lasted, say it, and whatever else is wrong, without keeping it first."""
        problems = self._problems()
        problem = problems.get(alarms.CATALOG)
        if problem in (None, self._starting):
            return
        now = clock.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        if now - self._lost_at < self._config().patience.total_seconds():
            return
        at = clock.now()
        found = alarms.conditions(problems, self._starting, self._unsettled(), {})
        if self._raised is None:  # since the start it has not been seen what was told before
            found = {alarms.CATALOG: found[alarms.CATALOG]}
        else:
            found = {name: one for name, one in found.items() if name not in self._raised}
        found = {name: one for name, one in found.items() if name not in self._told_without}
        if not found:
            return
        taken = [*self._waiting, *(alarms.begin(name, one, at) for name, one in found.items())]
        self._waiting = []
        self._told_without |= {name: Alarm(at, one.reason) for name, one in found.items()}
        self._tell_at_once(taken, at)

    def _tell_at_once(self, taken: list[Notice], at: datetime) -> None:
        for webhook in self._config().webhooks:
            message = digest(webhook, taken, self._root, at)
            if message is not None and webhook.name in self._senders:
                self._senders[webhook.name].send_without_catalog(message)
