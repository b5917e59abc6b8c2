"""Where the daemon is, and the token for it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """``base``: scheme, host and path, without a slash at the end. ``socket``: the Unix socket that leads there."""

    base: str
    socket: str | None = None


def parse(url: str) -> Address:
    """``http://``, ``https://`` or ``unix:///path/of/a.sock``. Raises ValueError that says what to write instead."""
    parts = urlsplit(url.strip())
    if parts.scheme == "unix":
        if parts.netloc or len(parts.path) < 2:
            raise ValueError("a Unix socket is written unix:///run/sweepd/sweepd.sock, with three slashes")
        return Address("http://localhost", unquote(parts.path))
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the address of the daemon is written http://HOST:PORT, https://HOST or unix:///PATH")
    if parts.username is not None or parts.password is not None:
        raise ValueError("no user or password in the address: pass the token, or set SWEEPD_TOKEN")
    if parts.query or parts.fragment:
        raise ValueError("the address of the daemon has no query and no fragment")
    return Address(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}")


def find_token(given: str | None) -> str | None:
    """The token that was passed, or that of SWEEPD_TOKEN. Raises ValueError if it cannot be one; never shows it."""
    token = os.environ.get("SWEEPD_TOKEN", "") if given is None else given
    token = token.strip()
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise ValueError("the token has to be printable ASCII characters without spaces")
    return token or None
