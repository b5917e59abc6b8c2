"""A bar on the terminal while something large is purged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from daemon.cli.render import console
from daemon.deletion.progress import Purges
from daemon.sizes import format_size

_LOOK_EVERY_S: Final = 0.25


@contextmanager
def purge_bar(purges: Purges, *, shown: bool) -> Iterator[None]:
    """Show the purges of this process while the block runs; on a terminal only."""
    if not shown or not console.is_terminal:
        yield
        return
    done = threading.Event()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[size]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        watcher = threading.Thread(target=_watch, args=(purges, bar, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _watch(purges: Purges, bar: Progress, done: threading.Event) -> None:
    lines: dict[int, TaskID] = {}
    while not done.wait(_LOOK_EVERY_S):
        running = {id(watched): watched for watched in purges.running()}
        for key in [key for key in lines if key not in running]:
            bar.remove_task(lines.pop(key))
        for key, watched in running.items():
            progress = watched.progress
            if key not in lines:
                lines[key] = bar.add_task(f"removing {watched.task_ids[0]}", total=progress.files_total, size="")
            size = (
                f"{progress.files_done} of {progress.files_total} files, {format_size(progress.bytes_done)} of "
                f"{format_size(progress.bytes_total)}, {progress.files_per_second:.0f}/s"
            )
            bar.update(lines[key], completed=progress.files_done, size=size)
