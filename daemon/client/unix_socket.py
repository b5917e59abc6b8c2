"""requests over a Unix socket."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool


class _Connection(HTTPConnection):
    """HTTP over the socket at ``path``, whatever the URL's host is."""

    def __init__(self, path: str, timeout: Any) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def _new_conn(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            timeout = self.timeout
            made.settimeout(timeout if isinstance(timeout, int | float) else None)
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        return made


class _Pool(HTTPConnectionPool):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> _Connection:
        return _Connection(self._path, self.timeout.connect_timeout)


class UnixAdapter(HTTPAdapter):
    """For ``Session.mount("http://", …)``: everything goes to the socket at ``path``."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._pool = _Pool(path)

    def get_connection_with_tls_context(
        self,
        request: Any,  # noqa: ARG002
        verify: Any,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
    ) -> _Pool:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()
