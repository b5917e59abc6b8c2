"""The daemon that ``--server`` names: a client of it, and what its errors end a command with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import typer

from daemon.cli.exits import Exit, status_of_code
from daemon.cli.streams import complain
from daemon.client import (
    ApiError,
    BadName,
    BadSetting,
    BadTaskId,
    Client,
    ClientError,
    InvalidRequest,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from daemon.errors import Problem

_DENIED: Final = frozenset({"INSUFFICIENT_SCOPE", "HOST_NOT_ALLOWED", "ORIGIN_NOT_ALLOWED"})
_NO_SERVER: Final = frozenset({"ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED", "INTERNAL_ERROR"})


@dataclass(frozen=True, slots=True)
class Server:
    """``url`` as it was given; the token is read from ``token_file``, else from SWEEPD_TOKEN."""

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client; what it raises is printed, and ends the command. Raises typer.Exit and typer.BadParameter."""
        try:
            client = Client(self.url, self._token(), verify=str(self.ca_file) if self.ca_file else True)
        except BadSetting as error:
            raise typer.BadParameter(str(error)) from None
        try:
            with client:
                yield client
        except ClientError as error:
            for number, line in enumerate(in_words(error).split("\n")):
                complain(line if number else f"sweepd: {line}")
            raise typer.Exit(status_of(error)) from None
        except KeyboardInterrupt:
            complain("sweepd: interrupted; what the daemon was asked to do may go on")
            raise typer.Exit(Exit.INTERRUPTED) from None

    def command(self, rest: str) -> str:
        """A command for this daemon, to be typed."""
        return f"sweepd --server {self.url} {rest}"

    def _token(self) -> str | None:
        if self.token_file is None:
            return None
        try:
            token = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"cannot read {self.token_file}: {error}", param_hint="--token-file") from None
        if not token:
            raise typer.BadParameter(f"{self.token_file} is empty", param_hint="--token-file")
        return token


def in_words(error: ClientError) -> str:
    """What went wrong, what to do, and what to tell the operator."""
    if not isinstance(error, ApiError):
        return str(error)
    if problems := error.data.get("problems"):  # of files: as sweepd check prints them
        return "\n".join([error.message, *(str(Problem(**one)) for one in problems)])
    return f"{error} [request {error.request_id}]" if error.status >= 500 and error.request_id else str(error)


def status_of(error: ClientError) -> Exit:
    """The exit status that ``error`` ends a command with: that of the local command, where there is one."""
    if isinstance(error, BadTaskId):
        return Exit.NOT_DELETED
    if not isinstance(error, ApiError):
        return Exit.USAGE if isinstance(error, BadName) else Exit.SERVER
    if isinstance(error, Unauthorized) or error.error_code in _DENIED:
        return Exit.DENIED
    if error.error_code in _NO_SERVER:
        return Exit.SERVER
    if error.error_code == "JOB_NOT_FOUND":
        return Exit.USAGE
    known = status_of_code(error.error_code)
    if known is not None:
        return known
    if isinstance(error, Unavailable | TooManyRequests):
        return Exit.SERVER
    wrong = isinstance(error, InvalidRequest) and error.error_code != "INVALID_TASK_ID"
    return Exit.USAGE if wrong else Exit.NOT_DELETED
