"""The half of the client that changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from daemon.client import paging
from daemon.client.answers import Hold, Task, Waiting
from daemon.client.errors import BadName, BadTaskId
from daemon.client.transport import Transport, segment

API = "/api/v0"
TASKS = f"{API}/data_pipeline/tasks"


def task_path(task_id: str) -> str:
    """The address of a task. Raises BadTaskId for what would be another address."""
    try:
        return f"{TASKS}/{segment(task_id)}"
    except BadName as error:
        raise BadTaskId(str(error)) from None


class Reading:
    """Each method raises ClientError; what it answers is the ``data`` that docs/reference/api.md describes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def tasks(
        self,
        *,
        status: str | Sequence[str] | None = None,
        directory_exists: bool | None = None,
        user: str | None = None,
        database: str | None = None,
        q: str | None = None,
        older_than: str | None = None,
        sort: str | None = None,
        page_size: int = 1000,
    ) -> Iterator[Task]:
        """Every task that fits, the newest first unless ``sort`` says otherwise. ``q``: text in the id or the name."""
        query: dict[str, str | int | bool | None] = {
            "status": status if status is None or isinstance(status, str) else ",".join(status),
            "directory_exists": directory_exists,
            "user": user,
            "database": database,
            "q": q,
            "older_than": older_than,
            "sort": sort,
            "limit": page_size,
        }
        return cast(Iterator[Task], paging.entries(self._transport, TASKS, "tasks", query))

    def task(self, task_id: str) -> dict[str, Any]:
        """One task: its row, its size, its deletions, the holds on it, and what the policies say."""
        return self._data(task_path(task_id))

    def explain(self, task_id: str, *, at: str | None = None) -> dict[str, Any]:
        """What every policy says of one task, clause by clause, as of now or ``at`` (ISO 8601)."""
        return self._data(f"{task_path(task_id)}/explain", at=at)

    def trash(self) -> list[Waiting]:
        """What waits in the trash, the first to be purged first."""
        return cast(list[Waiting], self._data(f"{API}/data_pipeline/trash")["deletions"])

    def holds(self, *, everything: bool = False) -> list[Hold]:
        """The holds in force, the oldest first; with ``everything`` those that are over or released too."""
        return cast(list[Hold], self._data(f"{API}/holds", all=everything)["holds"])

    def policies(self) -> dict[str, Any]:
        """The policies in force, what is protected, and their digests."""
        return self._data(f"{API}/policies")

    def plan(self, policy: str, *, at: str | None = None, limit: int | None = None) -> dict[str, Any]:
        """What the policy would do, as of now or ``at``; ``limit``: how many tasks of each kind it lists."""
        return self._data(f"{API}/policies/{segment(policy)}/plan", at=at, limit=limit)

    def sweeps(self, *, policy: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
        """The last sweeps, the newest first, without their reports."""
        return cast(list[dict[str, Any]], self._data(f"{API}/sweeps", policy=policy, limit=limit)["sweeps"])

    def deletions(
        self,
        *,
        task_id: str | None = None,
        policy: str | None = None,
        sweep_id: str | None = None,
        initiator: str | None = None,
        trigger: str | None = None,
        state: str | None = None,
        since: str | None = None,
        until: str | None = None,
        page_size: int = 1000,
    ) -> Iterator[dict[str, Any]]:
        """The audit trail: every deletion that fits, the newest first."""
        query: dict[str, str | int | bool | None] = {
            "task_id": task_id,
            "policy": policy,
            "sweep_id": sweep_id,
            "initiator": initiator,
            "trigger": trigger,
            "state": state,
            "since": since,
            "until": until,
            "limit": page_size,
        }
        return paging.entries(self._transport, f"{API}/deletions", "deletions", query)

    def storage(self) -> dict[str, Any]:
        """Who uses how much, and what the trash holds."""
        return self._data(f"{API}/storage")

    def inventory(self, *, largest: int | None = None, drift: str | None = None) -> dict[str, Any]:
        """What the last scan of the storage root found; with ``drift`` (orphans, missing, returned) those tasks."""
        return self._data(f"{API}/inventory", limit=largest, drift=drift)

    def live(self) -> bool:
        """Whether the daemon answers. Raises Unreachable if nothing does."""
        return bool(self._transport.get("/livez", repeat=False)["success"])

    def ready(self) -> dict[str, Any]:
        """The state of each component. Raises Unavailable, with the same in ``data``, if one does not work."""
        return cast(dict[str, Any], self._transport.get("/readyz", repeat=False)["data"])

    def _data(self, path: str, **query: str | int | bool | None) -> dict[str, Any]:
        return cast(dict[str, Any], self._transport.get(path, query)["data"])
