"""``Idempotency-Key``: a retry gets the first answer, and nothing is done twice.

As draft-ietf-httpapi-idempotency-key-header says. An answer that asks to come back later, or is not the last word on
a batch, is not kept: then the retry goes on where the first try ended, by what the journal of deletions knows of it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from daemon import clock, log
from daemon.catalog import idempotency
from daemon.catalog.catalog import Catalog
from daemon.catalog.idempotency import Keyed
from daemon.errors import SweepdError
from daemon.storage.trash import new_deletion_id
from daemon.web import answers, bodies
from daemon.web.caller import caller
from daemon.web.errors import ApiCode, ApiError, explain
from daemon.web.work import Workers

PASSING: Final = web.ResponseKey("passing", bool)
"""Set on an answer that is not to be kept: a retry may fare better, and goes on."""

_log = log.get(__name__)
_HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[!-~]{1,255}")
_KEPT_HEADERS: Final = ("Content-Language", "Location", "Preference-Applied", "Allow", "WWW-Authenticate")


@dataclass(frozen=True, slots=True)
class Key:
    """``job_id``: what the journal is to know the request's deletions by; None without the header.

    ``begun_before``: an earlier try was cut off, and may have deleted some or all of it since ``begun_at``.
    """

    job_id: str | None = None
    begun_at: datetime | None = None
    begun_before: bool = False


_Perform = Callable[[Key], Awaitable[web.Response]]


class Idempotency:
    """The keys of all requests of this server."""

    def __init__(self, catalog: Catalog, workers: Workers) -> None:
        self._catalog = catalog
        self._workers = workers
        self._working: dict[tuple[str, str], str] = {}  # the fingerprints of those under way

    async def run(self, request: web.Request, values: Mapping[str, Any], perform: _Perform) -> web.Response:
        """``perform``, or what it answered the first time.

        Raises what it raises, and ApiError: INVALID_PARAMETER, IDEMPOTENCY_KEY_REUSED or IDEMPOTENCY_KEY_IN_USE.
        """
        given = request.headers.getall(_HEADER, ())
        if not given:
            return await perform(Key())
        if len(given) != 1 or not _KEY.fullmatch(given[0]):
            raise bodies.invalid(_HEADER, "MUST_BE_KEY")
        return await self._workers.to_the_end(self._once(request, given[0], _fingerprint(request, values), perform))

    async def _once(self, request: web.Request, key: str, fingerprint: str, perform: _Perform) -> web.Response:
        owner = (caller(request).initiator[:255], key)
        if owner in self._working:
            same = self._working[owner] == fingerprint
            raise ApiError(ApiCode.IDEMPOTENCY_KEY_IN_USE if same else ApiCode.IDEMPOTENCY_KEY_REUSED)
        self._working[owner] = fingerprint
        try:
            return await self._work(request, owner, fingerprint, perform)
        finally:
            del self._working[owner]

    async def _work(
        self, request: web.Request, owner: tuple[str, str], fingerprint: str, perform: _Perform
    ) -> web.Response:
        new = Keyed(fingerprint, new_deletion_id(), clock.now())
        found = await self._workers.write(lambda: self._begin(owner, new))
        if found is not None and found.fingerprint != fingerprint:
            raise ApiError(ApiCode.IDEMPOTENCY_KEY_REUSED)
        if found is not None and found.status is not None:
            return _replayed(request, found)
        known = found or new
        try:
            response = await perform(Key(known.job_id, known.begun_at, begun_before=found is not None))
        except Exception as error:
            problem = explain(error, request.match_info.get("task_id"))
            if not problem.passing:
                await self._keep(owner, answers.failure(request, problem))
            raise
        if not response.get(PASSING, False):
            await self._keep(owner, response)
        return response

    async def _keep(self, owner: tuple[str, str], response: web.Response) -> None:
        headers = json.dumps({name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers})
        body, status = response.body, response.status
        assert isinstance(body, bytes)
        try:
            await self._workers.write(lambda: self._answer(owner, status, headers, body.decode("utf-8")))
        except (SweepdError, ApiError) as error:  # a retry finds out in the journal what was done
            _log.warning("answer_not_kept", reason=str(error))

    def _begin(self, owner: tuple[str, str], new: Keyed) -> Keyed | None:
        with self._catalog.write() as session:
            return idempotency.begin(session.connection, *owner, new)

    def _answer(self, owner: tuple[str, str], status: int, headers: str, body: str) -> None:
        with self._catalog.write() as session:
            idempotency.answer(session.connection, *owner, status=status, headers=headers, body=body)


def _fingerprint(request: web.Request, values: Mapping[str, Any]) -> str:
    wishes = sorted(request.headers.getall("Prefer", ()))
    said = json.dumps([request.method, request.path, wishes, values], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _replayed(request: web.Request, found: Keyed) -> web.Response:
    assert found.status is not None
    response = web.Response(
        status=found.status,
        body=(found.body or "").encode("utf-8"),
        content_type="application/json",
        charset="utf-8",
        headers={**json.loads(found.headers or "{}"), "Idempotency-Replayed": "true"},
    )
    answers.complete(request, response)
    return response
