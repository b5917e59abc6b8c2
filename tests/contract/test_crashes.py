"""kill -9 before every step of a deletion and of a recovery; afterwards all or nothing has happened."""

from __future__ import annotations

import signal
from itertools import count

import pytest

from daemon.deletion.models import What
from support.auditor import DELETED, KEPT, audit, audit_task
from support.processes import ForkServer
from support.site import Site

WHATS = [What.DIRECTORY, What.DIRECTORY_AND_RECORDS]


@pytest.mark.parametrize("what", WHATS)
def test_a_deletion_killed_before_any_step_is_whole_or_has_not_happened(
    site: Site, processes: ForkServer, what: What
) -> None:
    tasks, fates = [], []
    for step in count(1):
        tasks.append(site.task(f"task_{step}"))
        ended = processes.run(
            "support.crash:delete",
            url=site.store.url,
            root=str(site.path),
            task_id=f"task_{step}",
            what=what,
            step=step,
        )
        site.recovery.run()
        assert site.entries() == []
        fates.append(audit_task(site.store, site.path, tasks[-1]))
        if ended.killed_by is None:
            break
        assert ended.killed_by is signal.SIGKILL
    print(len(fates), fates.index(DELETED), ended.value)
    audit(site.store, site.path, tasks)
    assert len(fates) > 35
    first = fates.index(DELETED)
    assert fates == [KEPT] * first + [DELETED] * (len(fates) - first)
