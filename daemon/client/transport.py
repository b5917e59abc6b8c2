"""Requests and their retries. A token goes to one host only, and what is not safe to repeat is sent once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from daemon.client import address
from daemon.client.errors import ApiError, BadName, BadSetting, TimedOut, UnexpectedAnswer, Unreachable, api_error

if TYPE_CHECKING:
    from requests import Response

Query = Mapping[str, str | int | bool | None]
_PAUSE_S: Final = 0.25  # before the first retry; each one later waits twice as long
_LONGEST_PAUSE_S: Final = 30.0  # who is told to wait longer than that is told so at once
_LANGUAGES: Final = {"en": "en", "zh": "zh-CN"}


class Transport:
    """One session with one daemon. Not for several threads at once: give each its own."""

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        work_timeout: float | None = 3600.0,
        language: str = "en",
        verify: bool | str = True,
        retries: int = 3,
    ) -> None:
        import requests  # the slow part of this package: only who makes a client pays for it

        if language not in _LANGUAGES:
            raise BadSetting(f"language is one of {', '.join(_LANGUAGES)}")
        self._address = address.parse(base_url)
        token = address.find_token(token)
        self._timeout, self._work_timeout, self._retries = timeout, work_timeout, retries
        if isinstance(verify, str):
            _check_authorities(verify)
        self._session = requests.Session()
        # No proxy, .netrc or certificate of the environment: the first two could send the token elsewhere.
        self._session.trust_env = False
        self._session.verify = verify
        self._session.headers.update({"Accept-Language": _LANGUAGES[language], "User-Agent": "sweepd-client"})
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"
        if self._address.socket is not None:
            from daemon.client.unix_socket import UnixAdapter

            self._session.mount("http://", UnixAdapter(self._address.socket))

    def close(self) -> None:
        """Close its connections."""
        self._session.close()

    @property
    def retries(self) -> int:
        """How often something safe is tried again."""
        return self._retries

    def get(self, path: str, query: Query | None = None, *, repeat: bool = True) -> dict[str, Any]:
        """The body of a GET, tried again unless ``repeat`` is False. Raises ClientError."""
        return self._ask("GET", path, query=query, repeat=repeat, read_timeout=self._timeout)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        keyed: bool = False,
        at_once: bool = False,
    ) -> dict[str, Any]:
        """The body of the answer to something that changes something. Raises ClientError.

        ``keyed``: it goes with an Idempotency-Key (``key``, or a new one), and may so be repeated. ``at_once``: its
        answer does not wait for work.
        """
        headers = {"Idempotency-Key": key or uuid.uuid4().hex} if keyed else {}
        timeout = self._timeout if at_once else self._work_timeout
        return self._ask(method, path, body=body, headers=headers, repeat=keyed, read_timeout=timeout)

    def stream(self, path: str, headers: Mapping[str, str]) -> Response:
        """An answer that goes on, status 200 or 204; its caller closes it. Tried once. Raises ClientError."""
        response = self._request("GET", path, None, None, {"Accept": "text/event-stream", **headers}, self._timeout)
        if response.status_code in (200, 204):
            return response
        with response:
            raise _problem(response)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        repeat: bool,
        read_timeout: float | None,
    ) -> dict[str, Any]:
        tried = 0
        while True:
            pause = _PAUSE_S * 2**tried
            try:
                with self._request(method, path, query, body, headers or {}, read_timeout) as response:
                    return _body(response)
            except TimedOut:
                if method != "GET" or not repeat or tried >= self._retries:
                    raise
            except Unreachable:
                if not repeat or tried >= self._retries:
                    raise
            except ApiError as error:
                pause = max(pause, error.retry_after or 0.0)
                if not repeat or tried >= self._retries or not _may_pass(error) or pause > _LONGEST_PAUSE_S:
                    raise
            time.sleep(pause)
            tried += 1

    def _request(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: Mapping[str, Any] | None,
        headers: Mapping[str, str],
        read_timeout: float | None,
    ) -> Response:
        import requests

        where = self._address.socket or self._address.base
        try:
            return self._session.request(
                method,
                self._address.base + path,
                params={name: _text(value) for name, value in (query or {}).items() if value is not None},
                json=body,
                headers=dict(headers),
                timeout=(self._timeout, read_timeout),
                allow_redirects=False,
                stream=True,
            )
        except requests.exceptions.ConnectTimeout as error:
            raise Unreachable(f"{where} does not answer within {self._timeout:g} s; is the daemon running?") from error
        except requests.exceptions.Timeout as error:
            raise TimedOut(
                f"no answer of {where} within {read_timeout:g} s; what was asked for may go on: look before repeating"
            ) from error
        except requests.exceptions.SSLError as error:
            raise Unreachable(f"no trusted TLS connection to {where}: {error}; see `verify`") from error
        except (requests.exceptions.ConnectionError, OSError) as error:
            raise Unreachable(f"cannot reach {where}; is the daemon running, and is this its address?") from error


def _check_authorities(path: str) -> None:
    """What is wrong with the file would else look, at the first request, as if the daemon were not there."""
    import ssl

    try:
        if not Path(path).is_dir():  # of a directory the certificates are read as they are needed
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError as error:
        raise BadSetting(f"{path} holds no certificate authorities that can be read: {error}") from None


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _may_pass(error: ApiError) -> bool:
    # The last one: an earlier try with the same key is still being worked on.
    return error.status in (429, 503) or error.error_code == "IDEMPOTENCY_KEY_IN_USE"


def segment(name: str) -> str:
    """A name as a part of a path. Raises BadName for what would be another path."""
    if name in ("", ".", "..") or "{" in name or "}" in name:  # no route takes braces
        raise BadName(f"{name!r} names nothing; give the whole id or name")
    return quote(name, safe="")


def _body(response: Response) -> dict[str, Any]:
    body = _json(response)
    if response.status_code >= 400 or not body["success"]:
        raise _problem(response, body)
    return body


def _problem(response: Response, body: dict[str, Any] | None = None) -> ApiError:
    given = response.headers.get("Retry-After", "")
    retry_after = float(given) if given.isascii() and given.isdigit() else None
    return api_error(response.status_code, body or _json(response), retry_after)


def _json(response: Response) -> dict[str, Any]:
    import requests

    try:
        body = response.json()
    except requests.exceptions.JSONDecodeError:
        body = None
    except requests.exceptions.RequestException as error:
        raise Unreachable(f"the answer of {response.url} was cut off") from error
    if not isinstance(body, dict) or "success" not in body or 300 <= response.status_code < 400:
        raise UnexpectedAnswer(
            f"{response.url} answered {response.status_code} with something that is not sweepd's; check the address"
        )
    return body
