"""Sends what waits for one webhook, on a thread of its own: a receiver that hangs keeps nobody else waiting."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from daemon import clock, log
from daemon.catalog import outbox
from daemon.catalog.catalog import Catalog
from daemon.catalog.outbox import Message
from daemon.errors import SweepdError
from daemon.metrics.registry import Metrics
from daemon.notify.sending import Answer, post
from daemon.webhooks import Webhook

_log = log.get(__name__)

FIRST_PAUSE_S: Final = 5.0
GIVEN_UP: Final = timedelta(days=3)
"""A message that nobody took for so long is given up."""
_LOOK_S: Final = 5.0
_LONGEST_REST_S: Final = 60.0
# What cannot wait for the database.
_URGENT: Final = 20
_GOODBYE_S: Final = 1.0


def pause(attempts: int, retry_after: float | None, chance: float) -> timedelta:
    """How long a message waits after so many failed attempts: twice as long each time, at least as long as it is asked.

    ``chance`` (0 to 1) takes off up to a quarter, so that what failed together is not tried together.
    """
    longest = outbox.LONGEST_PAUSE.total_seconds()
    backoff = min(longest, FIRST_PAUSE_S * 2 ** min(attempts - 1, 20)) * (1 - chance / 4)
    return timedelta(seconds=min(longest, max(backoff, retry_after or 0.0)))


class Sender:
    """``webhook`` gives it as configured now, ``reachable`` whether the catalog is there to be asked."""

    def __init__(
        self,
        name: str,
        webhook: Callable[[], Webhook | None],
        catalog: Catalog,
        metrics: Metrics,
        reachable: Callable[[], bool],
    ) -> None:
        self._name = name
        self._webhook = webhook
        self._catalog = catalog
        self._metrics = metrics.notifications
        self._reachable = reachable
        self._urgent: deque[Message] = deque(maxlen=_URGENT)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._unnoted: tuple[Message, Answer] | None = None
        self._thread = threading.Thread(target=self._work, name=f"webhook-{name}", daemon=True)

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._metrics.known(self._name)
        self._thread.start()

    def wake(self) -> None:
        """There is something to send."""
        self._wake.set()

    def send_without_catalog(self, message: Message) -> None:
        """Send this although it cannot be kept anywhere: it is tried again as long as the process lives."""
        self._urgent.append(message)
        self._wake.set()

    def stop(self) -> None:
        """Send nothing further. What is under way is not waited for: it is sent again if it was not acknowledged."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_GOODBYE_S)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                worked = self._send_one()
            except SweepdError:  # the catalog is gone, which others watch and tell
                worked = False
            except Exception:
                _log.exception("notification_crashed", webhook=self._name)
                worked = False
            if self._failures:
                self._stopping.wait(min(_LONGEST_REST_S, 2.0 ** min(self._failures - 1, 10)))
            elif not worked:
                self._wake.wait(_LOOK_S)
                self._wake.clear()

    def _send_one(self) -> bool:
        """Whether there was anything to send."""
        webhook = self._webhook()
        if webhook is None:
            return False
        if self._urgent:
            self._send_urgent(webhook)
            return True
        if not self._reachable():
            return False
        if self._unnoted is None:
            with self._catalog.read() as session:
                message = outbox.due(session.connection, self._name, clock.now())
            if message is None:
                return False
            self._unnoted = message, self._post(webhook, message)
        self._note(*self._unnoted)  # before anything else is sent: or the same would be, again and again
        self._unnoted = None
        return True

    def _post(self, webhook: Webhook, message: Message) -> Answer:
        answer = post(webhook, message.message_id, message.body)
        fields = {"webhook": self._name, "message_id": message.message_id}
        if answer.error is None:
            self._metrics.sent(self._name)
            _log.info("notification_sent", **fields, attempts=message.attempts + 1)
        else:
            self._failures += 1
            self._metrics.failed(self._name)
            _log.warning("notification_failed", **fields, attempts=message.attempts + 1, reason=answer.error)
        return answer

    def _send_urgent(self, webhook: Webhook) -> None:
        message = self._urgent[0]
        answer = self._post(webhook, message)
        if answer.error is None or answer.gone:
            self._failures = 0
            self._urgent.popleft()

    def _note(self, message: Message, answer: Answer) -> None:
        now = clock.now()
        over = answer.gone or now - message.created_at > GIVEN_UP
        with self._catalog.write() as session:
            if answer.error is None:
                outbox.remove(session.connection, message)
                if self._failures:
                    outbox.hasten(session.connection, self._name, now)
            elif over:
                outbox.remove(session.connection, message)
            else:
                wait = pause(message.attempts + 1, answer.retry_after, random.random())  # noqa: S311  # no secret
                outbox.put_off(session.connection, message, now + wait, answer.error)
        if answer.error is None:
            self._failures = 0
        elif over:
            self._metrics.dropped(self._name)
            _log.error("notification_given_up", webhook=self._name, message_id=message.message_id, reason=answer.error)
