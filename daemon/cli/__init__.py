"""What a person types. Heavy modules are imported inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of ``sweepd``; ends the process with a status of ``cli.exits``."""
    from daemon.cli import (  # noqa: F401  # each adds its commands to the app
        hold_commands,
        inventory_commands,
        remote_commands,
        review_commands,
        suspension_commands,
    )
    from daemon.cli.commands import app
    from daemon.cli.exits import guarded

    sys.exit(guarded(app))
