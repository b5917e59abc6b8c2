"""What people write (configuration, policies, tokens), and the audit file."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from daemon.app.services import Services
from daemon.config import Config, load_config
from daemon.doctor.findings import Finding, failure, ok, warning
from daemon.errors import DocumentError
from daemon.policy.models import Mode, PolicySet
from daemon.scheduler import zone_problem
from daemon.storage import append_only
from daemon.tokens import load_tokens


def configuration(path: Path) -> tuple[Config | None, list[Finding]]:
    """The configuration, if there is one."""
    try:
        config = load_config(path)
    except DocumentError as error:
        return None, [failure("configuration", str(problem), "correct it there") for problem in error.problems]
    if path.stat().st_mode & stat.S_IROTH and _holds_secret(path, config):
        hint = f"chmod o-r {path}, or put the secret elsewhere: ${{credential:NAME}} or ${{env:NAME}}"
        return config, [warning("configuration", f"{path} holds a secret, and everybody can read it", hint)]
    return config, [ok("configuration", str(path.absolute()))]


def policies(services: Services) -> Iterator[Finding]:
    """Whether they load, and whether they would ever do anything."""
    try:
        found = services.load_policies()
    except DocumentError as error:
        yield from (failure("policies", str(problem), "correct it there: sweepd check") for problem in error.problems)
        return
    yield _judge(found, services.config.policies)
    if (problem := zone_problem(found)) is not None:
        yield warning("schedules", problem, "correct TZ in the daemon's environment, or name the zone in the policy")


def tokens(services: Services) -> Iterator[Finding]:
    """The token file: readable, and by nobody else."""
    path = services.config.server.tokens_file
    if path is None:
        return
    try:
        found = load_tokens(path)
        mode = path.stat().st_mode
    except (DocumentError, OSError) as error:
        yield failure(
            "tokens", f"{path} cannot be used: {error}", "correct that, or make a new one: sweepd token create"
        )
        return
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        hint = f"chmod 600 {path}: the hashes in it are of no use, but who may write to it makes tokens"
        yield warning("tokens", f"{path} can be used by others than its owner", hint)
    else:
        yield ok("tokens", f"{len(found)} in {path}")


def audit_file(services: Services) -> Iterator[Finding]:
    """Whether lines can be added to it."""
    path = services.config.audit.file
    if path is None:
        return
    try:
        append_only.look(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        hint = f"mkdir {path.parent}, and let the daemon's user write there; or set another audit.file"
        yield failure("audit file", f"{path} cannot be written to: {reason}", hint)
    else:
        yield ok("audit file", str(path))


def _judge(found: PolicySet, folder: Path) -> Finding:
    if not found.policies:
        return warning("policies", f"there is none in {folder}", "sweepd deletes by hand only until you write one")
    working = [policy for policy in found.policies if policy.mode is Mode.ENFORCE and policy.schedule is not None]
    said = f"{len(found.policies)} policies, {len(working)} of them delete on a schedule"
    if not working:
        return warning("policies", said, "set mode: enforce and a schedule once a plan is right, or delete by hand")
    return ok("policies", said)


def _holds_secret(path: Path, config: Config) -> bool:
    text = path.read_text(encoding="utf-8")
    secret = config.catalog.url.get_secret_value().partition("://")[2].rpartition("@")[0].partition(":")[2]
    return bool(secret) and secret in text
