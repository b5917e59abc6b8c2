"""Messages that wait to be sent, one row for each webhook: what is here was not acknowledged yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from daemon.catalog.tables import outbox

MOST: Final = 500
"""Messages that may wait for one webhook; of more, the oldest go."""
LONGEST_PAUSE: Final = timedelta(hours=1)
"""Between two tries of one message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one webhook. ``attempts``: those that failed."""

    message_id: str
    webhook: str
    created_at: datetime
    body: str
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """How many messages wait for one webhook, and since when (aware) the first one does."""

    waiting: int
    oldest_at: datetime | None


def put(connection: Connection, message: Message) -> int:
    """Keep a message until it is sent; how many older ones had to go for it."""
    c = outbox.c
    values = {name: getattr(message, name) for name in Message.__slots__}
    connection.execute(outbox.insert().values(**values, next_at=message.created_at))
    of_webhook = sa.select(c.message_id).where(c.webhook == message.webhook)
    beyond = of_webhook.order_by(c.created_at.desc(), c.message_id.desc()).offset(MOST)
    dropped = outbox.delete().where(c.webhook == message.webhook, c.message_id.in_(beyond)).returning(c.message_id)
    return len(connection.execute(dropped).all())


def due(connection: Connection, webhook: str, now: datetime) -> Message | None:
    """The message to send next, if one is due. A clock that was turned back keeps none waiting for hours."""
    c = outbox.c
    columns = [c[name] for name in Message.__slots__]
    when = sa.or_(c.next_at <= now, c.next_at > now + LONGEST_PAUSE)
    statement = sa.select(*columns).where(c.webhook == webhook, when).order_by(c.next_at, c.created_at).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else Message(*row)


def remove(connection: Connection, message: Message) -> None:
    """It was taken, or is given up."""
    c = outbox.c
    connection.execute(outbox.delete().where(c.message_id == message.message_id, c.webhook == message.webhook))


def put_off(connection: Connection, message: Message, until: datetime, error: str) -> None:
    """It was not taken; try again then."""
    c = outbox.c
    connection.execute(
        outbox.update()
        .where(c.message_id == message.message_id, c.webhook == message.webhook)
        .values(attempts=message.attempts + 1, next_at=until, error=error)
    )


def hasten(connection: Connection, webhook: str, now: datetime) -> None:
    """The webhook takes messages again: what waits is due."""
    c = outbox.c
    connection.execute(outbox.update().where(c.webhook == webhook, c.next_at > now).values(next_at=now))


def queues(connection: Connection) -> dict[str, Queue]:
    """What waits, by webhook."""
    c = outbox.c
    first = sa.func.min(c.created_at, type_=c.created_at.type)
    statement = sa.select(c.webhook, sa.func.count(), first).group_by(c.webhook)
    return {webhook: Queue(int(number), oldest) for webhook, number, oldest in connection.execute(statement)}


def forget(connection: Connection, webhook: str) -> None:
    """There is no such webhook any more."""
    connection.execute(outbox.delete().where(outbox.c.webhook == webhook))
