"""What a person types. Heavy modules are imported inside the commands, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from daemon import hangup

if TYPE_CHECKING:
    import typer


def main() -> None:
    """The entry point of ``sweepd``; ends the process with a status of ``cli.exits``."""
    if "run" in sys.argv:  # before the imports, which take a while
        hangup.remember()
    from daemon.cli.exits import guarded
    from daemon.cli.streams import complete

    complete()
    sys.exit(guarded(commands_of_sweepd()))


def commands_of_sweepd() -> typer.Typer:
    """Every command there is."""
    from daemon.cli import (  # noqa: F401  # each adds its commands to the app
        acceptance_commands,
        clock_commands,
        doctor_commands,
        hold_commands,
        inventory_commands,
        manual_commands,
        notify_commands,
        reload_commands,
        remote_commands,
        review_commands,
        suspension_commands,
        token_commands,
    )
    from daemon.cli.commands import app

    return app
