"""Placeholder until the pool is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from daemon.storage import census, removal
from daemon.storage.census import Census
from daemon.storage.progress import Progress


class Workers:
    def __init__(
        self,
        processes: int = 2,
        *,
        priority: Literal["idle", "normal"] = "idle",
        max_files_per_second: int | None = None,
    ) -> None:
        pass

    def count(self, parent_fd: int, names: Sequence[str]) -> list[Census]:
        return [census.take(parent_fd, name) for name in names]

    def remove(self, parent_fd: int, names: Sequence[str], progress: Progress | None = None) -> None:
        first: OSError | None = None
        for name in names:
            try:
                removal.remove_tree(parent_fd, name)
            except OSError as error:
                first = first or error
        if first:
            raise first

    def close(self) -> None:
        pass
