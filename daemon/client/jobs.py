"""Deletions in the background, and how far they are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, cast

from daemon.client import paging, server_events
from daemon.client.answers import Job
from daemon.client.changing import deletion
from daemon.client.errors import TimedOut, TooManyRequests, Unavailable, UnexpectedAnswer, Unreachable
from daemon.client.reading import API, TASKS, task_path
from daemon.client.server_events import Event
from daemon.client.transport import Transport, segment

if TYPE_CHECKING:
    from requests import Response

PATIENCE_S: Final = 60.0
ENDED: Final = frozenset({"finished", "cancelled"})
_LOOK_FIRST_S: Final = 0.1
_LOOK_LAST_S: Final = 2.0
_AGAIN_S: Final = 1.0
_PASSING: Final = (Unreachable, Unavailable, TooManyRequests)


class Jobs:
    """Each method raises ClientError."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def delete_async(
        self,
        task_ids: str | Iterable[str],
        *,
        records: bool = False,
        force: bool = False,
        retain: str | None = None,
        reason: str | None = None,
        continue_on_error: bool = True,
        key: str | None = None,
    ) -> Job:
        """Begin to delete one task or several; the daemon goes on whether anybody looks or not."""
        body = {**deletion(records=records, force=force, retain=retain, reason=reason), "async": True}
        path = TASKS
        if isinstance(task_ids, str):
            path = task_path(task_ids)
        else:
            body |= {"task_ids": list(task_ids), "continue_on_error": continue_on_error}
        return cast(Job, self._transport.send("DELETE", path, body, keyed=True, key=key, at_once=True)["data"])

    def job(self, job_id: str) -> Job:
        """One job; once it has ended, with its result."""
        return cast(Job, self._transport.get(f"{API}/jobs/{segment(job_id)}")["data"])

    def jobs(self, *, state: str | None = None, page_size: int = 100) -> Iterator[Job]:
        """Every job, the newest first, without results."""
        query: dict[str, str | int | bool | None] = {"state": state, "limit": page_size}
        return cast(Iterator[Job], paging.entries(self._transport, f"{API}/jobs", "jobs", query))

    def cancel(self, job_id: str) -> Job:
        """Cancel what has not begun. Raises Conflict if the job has ended."""
        return cast(Job, self._transport.send("DELETE", f"{API}/jobs/{segment(job_id)}", at_once=True)["data"])

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """The job once it has ended, with its result. Raises TimedOut after ``timeout`` seconds; it goes on then.

        A daemon that starts again meanwhile is waited for, PATIENCE_S at most.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, patience, job = _LOOK_FIRST_S, _Patience(), self.job(job_id)
        patience.renew()
        while job["state"] not in ENDED:
            if deadline is not None and time.monotonic() + pause > deadline:
                raise TimedOut(f"job {job_id} has not ended within {timeout:g} s; it goes on")
            time.sleep(pause)
            pause = min(_LOOK_LAST_S, pause * 1.5)
            try:
                job = self.job(job_id)
            except _PASSING as error:
                patience.lost(error)
            else:
                patience.renew()
        return job

    def events(self, job_id: str, *, after: str | None = None) -> Iterator[Event]:
        """What happens to the job, to its end; ``after``: the id of the last event one has had.

        A connection that is lost is made again for PATIENCE_S, and goes on where it was.
        """
        path, patience = f"{API}/jobs/{segment(job_id)}/events", _Patience()
        while True:
            headers = {} if after is None else {"Last-Event-ID": after}
            try:
                with self._transport.stream(path, headers) as response:
                    if response.status_code == 204:  # nothing comes after that event
                        return
                    for event in _parsed(response):
                        patience.renew()
                        after = after if event.id is None else event.id
                        yield event
                        if event.kind == "end":
                            return
                raise Unreachable(f"the events of job {job_id} stopped before its end")
            except _PASSING as error:
                patience.lost(error)
            time.sleep(_AGAIN_S)


class _Patience:
    """With a daemon that has answered before: it may be starting again."""

    def __init__(self) -> None:
        self._answered = False
        self._lost_at: float | None = None

    def renew(self) -> None:
        """It has answered."""
        self._answered, self._lost_at = True, None

    def lost(self, error: Exception) -> None:
        """It has not. Raises ``error`` if that has lasted too long."""
        now = time.monotonic()
        self._lost_at = self._lost_at or now
        if not self._answered or now - self._lost_at > PATIENCE_S:
            raise error


def _parsed(response: Response) -> Iterator[Event]:
    import requests

    try:
        yield from server_events.parse(response.iter_content(None))
    except requests.exceptions.RequestException as error:
        raise Unreachable(f"{response.url} was cut off") from error
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.url} does not send sweepd's events: {error}") from error
