"""The tokens that are known now: those of the configuration, and those of the token file, which may change."""

from __future__ import annotations

from pathlib import Path

from daemon import log
from daemon.config import ServerConfig
from daemon.errors import DocumentError
from daemon.tokens import EVERYTHING, TokenEntry, find, hash_of, load_tokens

_log = log.get(__name__)


class Keyring:
    """Asked on the event loop, from memory; the file is read on a thread.

    A file that cannot be read any more opens nothing: its tokens may have been revoked.
    """

    def __init__(self, server: ServerConfig) -> None:
        self.required = server.has_tokens
        self._fixed = tuple(
            # a token somebody thought up: not even a part of its hash is a name to print
            token
            if isinstance(token, TokenEntry)
            else TokenEntry(
                name=f"token-{number}",
                hash=hash_of(token.get_secret_value().encode()),
                scopes=tuple(sorted(EVERYTHING)),
            )
            for number, token in enumerate(server.tokens, 1)
        )
        self._path = server.tokens_file
        self._from_file: tuple[TokenEntry, ...] = ()
        self._signature: tuple[int, ...] | None = None

    def find(self, offered: bytes) -> TokenEntry | None:
        """The entry of a token, expired or not."""
        return find((*self._fixed, *self._from_file), offered)

    def load(self) -> None:
        """Read the file for the first time. Blocks. Raises DocumentError."""
        if self._path is not None:
            self._signature = _signature(self._path)
            self._from_file = load_tokens(self._path)

    def look(self) -> None:
        """Read the file again if it is another one than before. Blocks."""
        if self._path is None or (signature := _signature(self._path)) == self._signature:
            return
        self._signature = signature  # from before the reading: what changes meanwhile is read again
        try:
            self._from_file = load_tokens(self._path)
        except (DocumentError, OSError) as error:
            self._from_file = ()
            _log.error("tokens_unreadable", file=str(self._path), reason=str(error))
        else:
            _log.info("tokens_read", file=str(self._path), tokens=len(self._from_file))


def _signature(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError as error:
        return (error.errno or -1,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
