"""Where the daemon is, and the token for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from daemon.client.errors import BadSetting

_WRITTEN: Final = "the address of the daemon is written http://HOST:PORT, https://HOST or unix:///PATH"


@dataclass(frozen=True, slots=True)
class Address:
    """``base``: scheme, host and path, without a slash at the end. ``socket``: the Unix socket that leads there."""

    base: str
    socket: str | None = None


def parse(url: str) -> Address:
    """``http://``, ``https://`` or ``unix:///path/of/a.sock``. Raises BadSetting that says what to write instead."""
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # raises as urlsplit does
    except ValueError:
        raise BadSetting(_WRITTEN) from None
    if parts.scheme == "unix":
        if parts.netloc or len(parts.path) < 2:
            raise BadSetting("a Unix socket is written unix:///run/sweepd/sweepd.sock, with three slashes")
        return Address("http://localhost", unquote(parts.path))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadSetting(_WRITTEN)
    if parts.username is not None or parts.password is not None:
        raise BadSetting("no user or password in the address: pass the token, or set SWEEPD_TOKEN")
    if parts.query or parts.fragment:
        raise BadSetting("the address of the daemon has no query and no fragment")
    return Address(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")


def find_token(given: str | None) -> str | None:
    """The token that was passed, or that of SWEEPD_TOKEN. Raises BadSetting if it cannot be one; never shows it."""
    token = os.environ.get("SWEEPD_TOKEN", "") if given is None else given
    token = token.strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise BadSetting("the token has to be printable ASCII characters without spaces")
    return token or None
