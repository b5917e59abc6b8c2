"""Whether everything is as it has to be: while the load goes on, and once it has ended."""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

from soak.world import EITHER, GOES, STAYS, Task, World, descriptors, patiently
from support.auditor import DELETED, KEPT, RETAINED, audit_task
from support.trees import snapshot

_SAMPLE = 200
_SETTLED_S = 120.0
# Of memory: what caches of statements and the interpreter's own pools still take after the warm-up.
_GROWTH, _GROWTH_KB, _MORE_DESCRIPTORS, _MORE_THREADS = 1.10, 8_000, 12, 8


def look(world: World) -> None:
    """While the load goes on: what must stay is whole, and what people were told is gone is gone."""
    for task in _sample(world, STAYS):
        at = task.at
        tree = snapshot(world.root / task.before.task_id) if (world.root / task.before.task_id).is_dir() else None
        if tree != task.before.tree and (task.fate, task.at) == (STAYS, at):
            world.differ(f"{task.before.task_id} has to stay, and is not as it was")
    for task in _sample(world, GOES, kind="api"):
        at = task.at
        if os.path.lexists(world.root / task.before.task_id) and (task.fate, task.at) == (GOES, at):
            world.differ(f"{task.before.task_id} was answered to be deleted, and is there")
    world.count("audits under load")


def settle(world: World) -> None:
    """After the load: wait until the policies have done what they have to, and what an outage cut off is settled."""
    trash = world.root / ".sweepd" / "trash"
    for _ in patiently(_SETTLED_S, pause=0.5):
        left = [task for task in world.some_of(GOES) if os.path.lexists(world.root / task.before.task_id)]
        waiting = world.store.query(
            "SELECT 1 FROM sweepd_deletions WHERE state = 'committed' AND substr(task_id, 1, 6) = 'trash_' LIMIT 1"
        )
        if not left and not waiting and not (trash.exists() and os.listdir(trash)):
            return


def judge(world: World) -> None:
    """With the daemon ended: every task is wholly one thing, and the one that it has to be."""
    fates = {STAYS: {KEPT}, GOES: {DELETED, RETAINED}, EITHER: {KEPT, DELETED, RETAINED}}
    kept = {".sweepd"}
    for task_id, task in world.tasks.items():
        try:
            found = audit_task(world.store, world.root, task.before)
        except AssertionError as error:
            world.differ(f"{task_id} ({task.fate}): {error}")
            continue
        world.count(f"audited: {found}")
        if found == KEPT:
            kept.add(task_id)
        if found not in fates[task.fate]:
            world.differ(f"{task_id} has to be one that {task.fate}, and is {found}")
    for folder in ("trash", "quarantine"):
        path = world.root / ".sweepd" / folder
        if path.exists() and os.listdir(path):
            world.differ(f"{folder} is not empty: {os.listdir(path)[:5]}")
    strange = set(os.listdir(world.root)) - kept - set(world.tasks)
    if strange:
        world.differ(f"nobody made {sorted(strange)[:5]}")


@dataclass
class Watch:
    """What one daemon holds, again and again."""

    world: World
    pid: int
    samples: list[tuple[int, int, int]]

    def look(self) -> None:
        self.samples.append(descriptors(self.pid))

    def judge(self) -> None:
        """Compares the second quarter with the last one."""
        if self.world.daemon is None or self.world.daemon.process.pid != self.pid:
            self.world.differ("the daemon that was not to be restarted was")
        quarter = len(self.samples) // 4
        if quarter < 5:
            return
        early, late = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        memory, files, threads = (
            (statistics.median(s[n] for s in early), statistics.median(s[n] for s in late)) for n in range(3)
        )
        if memory[1] > memory[0] * _GROWTH + _GROWTH_KB:
            self.world.differ(f"memory grew from {memory[0]} to {memory[1]} kB")
        if files[1] > files[0] + _MORE_DESCRIPTORS:
            self.world.differ(f"open files grew from {files[0]} to {files[1]}")
        if threads[1] > threads[0] + _MORE_THREADS:
            self.world.differ(f"threads grew from {threads[0]} to {threads[1]}")

    def lines(self) -> list[str]:
        """For the report: at the begin, a quarter, a half, three quarters, and at the end."""
        marks = [self.samples[min(len(self.samples) - 1, len(self.samples) * n // 4)] for n in range(5)]
        names = ("resident MB", "open files", "threads")
        scaled = [(mark[0] / 1000, mark[1], mark[2]) for mark in marks]
        return [f"| {name} | {' | '.join(f'{mark[n]:.0f}' for mark in scaled)} |" for n, name in enumerate(names)]


def _sample(world: World, fate: str, kind: str | None = None) -> list[Task]:
    """Those that have been so for a while."""
    long_ago = time.monotonic() - 1.0
    found = [task for task in world.some_of(fate) if task.at < long_ago and kind in (None, task.kind)]
    return world.chance.sample(found, min(_SAMPLE, len(found)))
