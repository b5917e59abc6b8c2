"""HTTPS by configuration, for those without a proxy in front."""

from __future__ import annotations

import ssl
from typing import NoReturn

from daemon.config import TlsConfig
from daemon.errors import StartupRefused


class LiveTls:
    """What connections are made with: the ``context`` in force when each of them begins.

    ``listening`` is for the server's socket, which keeps it as long as it lives.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = self.listening = context
        context.sni_callback = self._choose  # asked for every connection, whether it names a server or not

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _listening: ssl.SSLContext) -> None:
        connection.context = self.context


def server_context(tls: TlsConfig) -> ssl.SSLContext:
    """TLS 1.2 or newer with these files. Blocks. Raises StartupRefused that says which file is wrong, and how."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    for name, path in (("certificate", tls.certificate), ("key", tls.key)):
        try:
            path.read_bytes()  # OpenSSL does not say which of the two it means
        except OSError as error:
            raise StartupRefused(
                f"server.tls.{name}: {path} cannot be read: {(error.strerror or 'unknown reason').lower()}"
            ) from error
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=_no_password)
    except ssl.SSLError as error:
        hint = "they do not belong together" if error.reason == "KEY_VALUES_MISMATCH" else "both have to be PEM"
        raise StartupRefused(
            f"server.tls: {tls.certificate} and {tls.key} cannot be used ({error.reason or error}): {hint}"
        ) from error
    return context


def _no_password() -> NoReturn:
    # OpenSSL would ask for it on the terminal, which a daemon does not have.
    raise StartupRefused("server.tls.key is encrypted: give a key without a password, readable by sweepd alone")
