"""Standard input, output and error: always there, whoever started the process without them."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

from daemon.moments import in_local_time
from daemon.visible import visible


class OutputLost(Exception):
    """Standard output takes nothing any more."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"the output cannot be written: {(cause.strerror or str(cause)).lower()}")
        self.unread = cause.errno == errno.EPIPE
        """Whether nobody reads it, as after ``| head``."""


def complete() -> None:
    """Open ``/dev/null`` for each that is closed, before anything else is opened; standard output raises OutputLost.

    Else the first file or socket becomes "standard error", and is written to.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    before = sys.stdout
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Output(1, "wb", closefd=False)),
        encoding=before.encoding,
        # a terminal in another encoding, or bytes of an argument that are no text, cut no output off
        errors="backslashreplace",
        line_buffering=bool(before.line_buffering or getattr(before, "write_through", False)),
    )


def give_up_output() -> None:
    """Let what is still to be written go nowhere, so that the end of the process does not fail with it again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def complain(text: str) -> None:
    """One message on standard error, with instants in local time. Its line breaks are escaped like all else."""
    print(visible(in_local_time(text)), file=sys.stderr)


class _Output(io.FileIO):
    """Tells a failure of standard output from every other: an OSError could be a bug."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(error) from error
