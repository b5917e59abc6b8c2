"""Standard input, output and error: always there, whoever started the process without them."""

from __future__ import annotations

import os
import sys


def complete() -> None:
    """Open ``/dev/null`` for each that is closed, before anything else is opened.

    Else the first file or socket becomes "standard error", and is written to.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
