"""One message to one webhook, by HTTP. The only module of this room that knows requests."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from daemon import __version__, clock
from daemon.notify.signing import sign
from daemon.webhooks import Webhook, key_of, loopback

_CONNECT_S: Final = 5.0
_ANSWER_S: Final = 10.0
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it. ``error`` is None if it was taken; it never shows more of the address than its host.

    ``retry_after``: seconds the receiver asks for; ``gone``: it wants this message never again.
    """

    error: str | None
    retry_after: float | None = None
    gone: bool = False


def post(webhook: Webhook, message_id: str, body: str) -> Answer:
    """Sign the message as of now and send it once. No redirect is followed, and of the answer only its head is read."""
    import requests  # slow to import: only who has a webhook pays for it

    url, data, timestamp = webhook.url.get_secret_value(), body.encode(), int(clock.now().timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"sweepd/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
    }
    if webhook.secret is not None:
        headers["webhook-signature"] = sign([key_of(one) for one in webhook.secret], message_id, timestamp, data)
    with requests.Session() as session:
        session.trust_env = False  # no .netrc: it would add a password
        if not loopback(urlsplit(url).hostname or ""):
            session.proxies = requests.utils.get_environ_proxies(url)
        try:
            response = session.post(
                url,
                data=data,
                headers=headers,
                timeout=(_CONNECT_S, _ANSWER_S),
                allow_redirects=False,
                stream=True,
                verify=True if webhook.ca_file is None else str(webhook.ca_file),
            )
        except (requests.exceptions.RequestException, OSError, ValueError) as error:
            return Answer(f"{webhook.where}: {_why(error)}")
        with response:
            return _read(webhook, response.status_code, response.headers.get("Retry-After"))


def _read(webhook: Webhook, status: int, retry_after: str | None) -> Answer:
    if 200 <= status < 300:
        return Answer(None)
    said = f"{webhook.where} answered {status}"
    if 300 <= status < 400:
        return Answer(f"{said}: redirects are not followed, correct the address")
    return Answer(said, _seconds(retry_after), gone=status == _GONE)


def _seconds(retry_after: str | None) -> float | None:
    """RFC 9110: seconds, or a date."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - clock.now()).total_seconds())
    except (ValueError, TypeError):
        return None


def _why(error: Exception) -> str:
    """In own words: those of the library hold the whole address."""
    import requests

    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {_CONNECT_S:.0f} s"
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {_ANSWER_S:.0f} s"
    innermost: BaseException = error
    seen: set[int] = set()
    while id(innermost) not in seen:
        seen.add(id(innermost))
        arguments = [one for one in innermost.args if isinstance(one, BaseException)]
        reason = getattr(innermost, "reason", None)
        below = innermost.__cause__ or innermost.__context__ or next(iter(arguments), None)
        if isinstance(reason, BaseException):
            below = reason
        if below is None:
            break
        innermost = below
    verify = getattr(innermost, "verify_message", None)
    if verify:
        return f"its certificate is not trusted: {verify}; see `ca_file`"
    if isinstance(innermost, OSError) and innermost.strerror:
        return f"no connection: {innermost.strerror}"
    return f"no connection ({type(innermost).__name__})"
