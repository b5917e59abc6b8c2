"""Exit statuses: one table, from every error to one number. ``docs/reference/exit-codes.md`` shows it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import IntEnum

import typer
from typer.exceptions import TyperException

from daemon.cli.asking import Declined
from daemon.cli.streams import OutputLost, complain, give_up_output
from daemon.errors import DocumentError, ErrorCode, SweepdError


class Exit(IntEnum):
    """The statuses of the command ``sweepd``."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DOCUMENT = 3
    NOT_DELETED = 4
    ROOT = 5
    CATALOG = 6
    LIMIT = 7
    REFUSED = 8
    SERVER = 9
    DENIED = 10
    UNFIT = 11
    CUT_SHORT = 12
    DECLINED = 13
    INTERRUPTED = 130
    UNREAD = 141


MEANINGS = {
    Exit.OK: "done; for `plan` and `tasks` also when there is nothing to show",
    Exit.FAILED: "`test`: a decision is not the expected one; `notify test`: a receiver took nothing; or the output "
    "cannot be written; else a bug, with its traceback",
    Exit.USAGE: "wrong command line",
    Exit.DOCUMENT: "the configuration or a policy file is wrong; every mistake is printed as file:line:column",
    Exit.NOT_DELETED: "at least one task was not deleted, each with its reason; or a low mark was not reached",
    Exit.ROOT: "the storage root is missing, not marked, swapped, or failing",
    Exit.CATALOG: "the database does not answer, lacks what `sweepd init` makes, or has forgotten deletions",
    Exit.LIMIT: "a policy selects more than its limits allow; nothing was deleted",
    Exit.REFUSED: "refused to start: unsafe address or none, one in use, unusable files of `server.tls`, another "
    "daemon or scan, a pooler by transaction, policy disabled, suspended, changed or being swept, clocks apart, "
    "catalog empty or not that of the storage root; `reload`: what needs a restart, or would be unsafe",
    Exit.SERVER: "`--server`: nobody answers, or not sweepd; or it is starting, stopping or too busy, or met a bug",
    Exit.DENIED: "`--server`: no token, one that is not known, or one without the scope that is needed",
    Exit.UNFIT: "`doctor`: at least one failure was found, each with its remedy",
    Exit.CUT_SHORT: "`run`: stopped with work in hand, which the next start settles: `server.shutdown_timeout` was "
    "over, or a second signal came",
    Exit.DECLINED: "the question was answered with no; nothing was done",
    Exit.INTERRUPTED: "interrupted by Ctrl-C; the deletion in hand was finished or undone, that of `--server` goes on",
    Exit.UNREAD: "whoever read the output has gone, as `head` does; what was not done by then is not done",
}

_BY_CODE = {
    ErrorCode.INVALID_DOCUMENT: Exit.DOCUMENT,
    ErrorCode.POLICY_NOT_FOUND: Exit.USAGE,
    ErrorCode.INVALID_HOLD: Exit.USAGE,
    ErrorCode.PLAN_NOT_FOUND: Exit.USAGE,
    ErrorCode.SWEEP_NOT_FOUND: Exit.USAGE,
    ErrorCode.PLAN_OUTDATED: Exit.REFUSED,
    ErrorCode.ROOT_UNAVAILABLE: Exit.ROOT,
    ErrorCode.CATALOG_UNAVAILABLE: Exit.CATALOG,
    ErrorCode.CATALOG_NOT_READY: Exit.CATALOG,
    ErrorCode.CATALOG_ROLLED_BACK: Exit.CATALOG,
    ErrorCode.LIMIT_EXCEEDED: Exit.LIMIT,
    ErrorCode.STARTUP_REFUSED: Exit.REFUSED,
    ErrorCode.RELOAD_REFUSED: Exit.REFUSED,
    ErrorCode.SWEEP_RUNNING: Exit.REFUSED,
    ErrorCode.SCAN_RUNNING: Exit.REFUSED,
    ErrorCode.CLOCK_UNRELIABLE: Exit.REFUSED,
    ErrorCode.CATALOG_EMPTY: Exit.REFUSED,
    ErrorCode.CATALOG_MISMATCH: Exit.REFUSED,
    ErrorCode.POLICY_SUSPENDED: Exit.REFUSED,
}


def status_of(error: SweepdError) -> Exit:
    """The exit status that ``error`` ends a command with."""
    return _BY_CODE.get(error.code, Exit.NOT_DELETED)


def status_of_code(code: str) -> Exit | None:
    """The exit status of an error that the API names; None for one that only the API knows."""
    if code in _BY_CODE:
        return _BY_CODE[ErrorCode(code)]
    return Exit.NOT_DELETED if code in list(ErrorCode) else None


def guarded(app: typer.Typer, arguments: Sequence[str] | None = None) -> int:
    """Run the command line, or these arguments; errors raised on purpose become one message and their status."""
    try:
        status = _run(app, arguments)
        sys.stdout.flush()
    except OutputLost as lost:
        give_up_output()
        if lost.unread:
            return Exit.UNREAD
        complain(f"sweepd: {lost}")
        return Exit.FAILED
    return status


def _run(app: typer.Typer, arguments: Sequence[str] | None) -> int:
    try:
        ended = app(arguments, prog_name="sweepd", standalone_mode=False)
    except SweepdError as error:
        lines = map(str, error.problems) if isinstance(error, DocumentError) else [str(error)]
        for number, line in enumerate(lines):
            complain(line if number else f"sweepd: {line}")
        return status_of(error)
    except UnicodeEncodeError:
        strange = [one for one in (sys.argv[1:] if arguments is None else arguments) if _odd(one)]
        if not strange:
            raise
        print(f"sweepd: {strange[0]!a} is not text in UTF-8, so it names nothing: correct it", file=sys.stderr)
        return Exit.USAGE
    except Declined:
        print("sweepd: nothing was done", file=sys.stderr)
        return Exit.DECLINED
    except (KeyboardInterrupt, typer.Abort):
        print("sweepd: interrupted, nothing further was done", file=sys.stderr)
        return Exit.INTERRUPTED
    except TyperException as error:
        if said := error.format_message().rstrip():  # empty when the help was asked for by giving no command at all
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "sweepd"
            complain(f"sweepd: {said}{'' if said[-1] in '.?!' else '.'} See: {command} --help")
        return Exit.USAGE
    return ended if isinstance(ended, int) else Exit.OK


def _odd(text: str) -> bool:
    """Whether it holds bytes that are no UTF-8, which no database takes."""
    return any("\ud800" <= character <= "\udfff" for character in text)
