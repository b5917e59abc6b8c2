"""What a person types. Heavy modules are imported inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of ``sweepd``; ends the process with a status of ``cli.exits``."""
    from daemon.cli import suspension_commands  # noqa: F401  # registers its command
    from daemon.cli.commands import app
    from daemon.cli.exits import guarded

    sys.exit(guarded(app))
