"""The commands. Each loads the configuration, does one thing through the services, and prints it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon import __version__

if TYPE_CHECKING:
    from daemon.app.services import Services
    from daemon.cli.remote.server import Server
    from daemon.config import Config

app = typer.Typer(
    name="sweepd",
    help="A policy-driven cleanup daemon for the task directories of a data pipeline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

REMOTE = frozenset(
    {"tasks", "delete", "restore", "trash", "plan", "sweep", "sweeps", "explain", "policies", "jobs", "reload"}
    | {"hold", "holds", "release"}
)
"""The commands that know --server."""

_SERVER = "daemon.cli.server"


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"sweepd {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[Path, typer.Option(help="The configuration file.", metavar="FILE")] = Path("config.yaml"),
    server: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="SWEEPD_SERVER", help="Ask the daemon there: http(s)://…, unix:///PATH."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", envvar="SWEEPD_TOKEN_FILE", help="Its token; else that of SWEEPD_TOKEN."),
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option(metavar="FILE", envvar="SWEEPD_CA_FILE", help="The authorities to trust for https.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Options of every command."""
    del version  # its callback has ended the program
    context.obj = config
    if server:
        _choose_server(context, server, token_file, ca_file)


@app.command()
def run(context: typer.Context) -> None:
    """Run the daemon: policies on schedule, the HTTP API, metrics. Ends on SIGTERM or Ctrl-C."""
    import asyncio
    import faulthandler

    faulthandler.enable(2)  # what each thread was at, when systemd's watchdog ends a daemon that hangs
    from daemon.app.serve import serve

    with _services(context, quiet=False) as services:
        asyncio.run(serve(services, services.load_policies()))


@app.command()
def init(
    context: typer.Context,
    replace_root: Annotated[
        bool, typer.Option("--replace-root", help="Give up the storage root this catalog knows, and adopt this one.")
    ] = False,
) -> None:
    """Make database and storage root ready. Does only what is missing; safe while the pipeline runs.

    Where there is no configuration yet, it writes one to begin with, and policies that only observe.
    """
    from daemon.app.initialise import initialise
    from daemon.app.samples import write_samples
    from daemon.cli.render import say

    for line in write_samples(context.obj):
        say(line)
    config = _configure(context, quiet=True)
    for line in initialise(config, replace_root=replace_root) or ["everything was ready, nothing was changed"]:
        say(line)


@app.command()
def check(
    context: typer.Context,
    as_json: Json = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of policy files instead.")] = False,
) -> None:
    """Check the configuration and every policy, as the daemon would load them. Touches nothing."""
    from daemon.cli import checking

    if schema:
        checking.show_schema()
        return
    raise typer.Exit(checking.check(context.obj, as_json=as_json))


@app.command()
def plan(
    context: typer.Context,
    policy: Annotated[str | None, typer.Argument(help="One policy; all if left out.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="List every task, not only the first ones.")] = False,
    sizes: Annotated[bool, typer.Option(help="Measure the directories that would go.")] = True,
    at: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="As of that date or date-time, in local time unless it has an offset."),
    ] = None,
    save: Annotated[bool, typer.Option("--save", help="Keep the plan, for `sweep --plan`.")] = False,
    as_json: Json = False,
) -> None:
    """Show what would go and why, why the rest stays and until when. Deletes nothing."""
    from daemon.cli import planning

    if save and at is not None:
        raise typer.BadParameter("a plan of another date cannot be applied: leave out --save or --at")
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import planning as there

        there.show_plans(server, policy, everything=everything, at=at, save=save, as_json=as_json)
        return
    with _services(context) as services:
        planning.show_plans(services, policy, everything=everything, sizes=sizes, as_json=as_json, at=at, save=save)


@app.command()
def sweep(
    context: typer.Context,
    policy: Annotated[str, typer.Argument(help="The policy to run once, now.")],
    plan: Annotated[
        str | None, typer.Option(metavar="DIGEST", help="Delete exactly what this stored plan says (8 digits or more).")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Try at once what failed before, and not only when its pause is over.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Run one policy now. One in mode observe only reports what it would delete."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import sweeping as there

        raise typer.Exit(there.sweep(server, policy, digest=plan, retry=retry, as_json=as_json))
    from daemon.cli import sweeping

    with _services(context, settled=True) as services:
        raise typer.Exit(sweeping.sweep(services, policy, digest=plan, retry=retry, as_json=as_json))


@app.command()
def delete(
    context: typer.Context,
    task_ids: Annotated[list[str], typer.Argument(metavar="TASK...", help="The tasks to delete.")],
    records: Annotated[bool, typer.Option("--records", help="Delete their database rows too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also if running, or without a row.")] = False,
    retain: Annotated[
        str | None, typer.Option(metavar="DURATION", help="Keep them in the trash that long, such as 7d.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for the audit trail; one line.")] = None,
    background: Annotated[
        bool, typer.Option("--async", help="With --server: as a job, as several tasks always are.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="With --server: begin the job and leave it.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete task directories by hand."""
    from daemon.cli import asking, deleting

    duration, why, server = deleting.parse_retain(retain), deleting.parse_reason(reason), server_of(context)
    if server is None and (background or no_wait):
        raise typer.BadParameter("--async and --no-wait need a daemon that does the work: give --server URL")
    what = "directories and database records" if records else "directories"
    question = f"Delete the {what} of {asking.few(task_ids)}?"
    if server is not None:
        if not yes:
            asking.ask(question, task_ids)
        from daemon.cli.remote import deleting as there

        raise typer.Exit(
            there.delete(
                server,
                task_ids,
                records=records,
                force=force,
                retain=retain,
                reason=why,
                background=background,
                wait=not no_wait,
                as_json=as_json,
            )
        )
    with _services(context, settled=True) as services:
        if not yes:
            asking.ask(question, task_ids)
        raise typer.Exit(
            deleting.delete(
                services, task_ids, records=records, force=force, retain=duration, reason=why, as_json=as_json
            )
        )


@app.command()
def trash(
    context: typer.Context,
    task_id: Annotated[str | None, typer.Argument(metavar="[TASK]", help="One task; all if left out.")] = None,
    as_json: Json = False,
) -> None:
    """List the deletions that wait in the trash and can be restored."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import trashing as there

        there.show_trash(server, task_id, as_json=as_json)
        return
    from daemon.cli import trashing

    with _services(context) as services:
        trashing.show_trash(services, task_id, as_json=as_json)


@app.command()
def restore(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="TASK|DELETION...", help="What to bring back.")],
    as_json: Json = False,
) -> None:
    """Bring deleted tasks back from the trash, with their records."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import trashing as there

        raise typer.Exit(there.restore(server, names, as_json=as_json))
    from daemon.cli import trashing

    with _services(context, settled=True) as services:
        raise typer.Exit(trashing.restore(services, names, as_json=as_json))


@app.command()
def purge(
    context: typer.Context,
    deletion_ids: Annotated[list[str], typer.Argument(metavar="DELETION...", help="As `sweepd trash` lists them.")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove deletions from the trash for good, before their time."""
    from daemon.cli import asking, trashing

    with _services(context, settled=True) as services:
        if not yes:
            asking.ask(f"Remove for good {asking.few(deletion_ids)}?", deletion_ids)
        trashing.purge(services, deletion_ids, as_json=as_json)


@app.command()
def tasks(
    context: typer.Context,
    status: Annotated[list[str] | None, typer.Option(help="Only tasks of this status; again for more.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 50,
    offset: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="How many to pass over.")] = 0,
    as_json: Json = False,
) -> None:
    """List tasks, the newest first."""
    if (server := server_of(context)) is not None:
        from daemon.cli.remote import listing as there

        there.show_tasks(server, statuses=status or (), limit=limit, offset=offset, as_json=as_json)
        return
    from daemon.cli import listing

    with _services(context) as services:
        listing.show_tasks(services, statuses=status or (), limit=limit, offset=offset, as_json=as_json)


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where the sample is made; an earlier sample there is replaced.")] = Path(
        "var/demo"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the API listens.")] = 8084,
) -> None:
    """Try sweepd on a made-up workspace: plan, sweep on schedule, API. Ends on Ctrl-C."""
    from daemon.cli.demonstration import show

    show(folder, port)


def server_of(context: typer.Context) -> Server | None:
    """The daemon to ask instead of doing it here."""
    server: Server | None = context.meta.get(_SERVER)
    return server


def _choose_server(context: typer.Context, url: str, token_file: Path | None, ca_file: Path | None) -> None:
    from daemon.cli.remote.server import Server

    if context.invoked_subcommand in REMOTE:
        context.meta[_SERVER] = Server(url, token_file, ca_file)
    elif getattr(context.get_parameter_source("server"), "name", "") == "COMMANDLINE":  # the environment's is not meant
        raise typer.BadParameter(
            f"`sweepd {context.invoked_subcommand}` works on this machine only: leave it out", param_hint="--server"
        )


def _configure(context: typer.Context, *, quiet: bool) -> Config:
    from daemon import log
    from daemon.config import load_config

    config = load_config(context.obj)
    log.configure("critical" if quiet else config.log.level, config.log.format)
    return config


@contextmanager
def _services(context: typer.Context, *, quiet: bool = True, settled: bool = False) -> Iterator[Services]:
    """The services of the configuration. A command prints its own results, so its log is quiet.

    ``settled``: what an earlier command was cut off in is finished or undone first, since no daemon may ever run here.
    """
    from daemon.app.services import build
    from daemon.errors import SweepdError

    with build(_configure(context, quiet=quiet)) as services:
        if settled:
            with suppress(SweepdError):  # the command itself meets the same, and tells it
                services.recovery.run()
        yield services
