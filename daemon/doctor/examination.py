"""All of it, in an order in which the first failure is the cause of those that follow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemon.app.services import build
from daemon.doctor.database import database, journal
from daemon.doctor.files import audit_file, configuration, policies, tokens
from daemon.doctor.findings import Finding
from daemon.doctor.serving import daemon, server, unit
from daemon.doctor.storage import storage
from daemon.doctor.sweeping import announcing, failing, pairing


def examine(path: Path) -> Iterator[Finding]:
    """Look at the installation of a configuration file. Needs no daemon, and disturbs none."""
    config, findings = configuration(path)
    yield from findings
    if config is None:
        return
    sweeps = (pairing, failing, announcing)
    with build(config) as services:
        for look in (policies, tokens, database, storage, journal, *sweeps, audit_file, daemon, server, unit):
            yield from look(services)
