"""The half of the client that deletes, restores, holds and sweeps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from daemon.client.answers import Batch, Deleted, Hold
from daemon.client.reading import API, TASKS, task_path
from daemon.client.transport import Transport, segment


class Changing:
    """Each method raises ClientError. ``key``: an Idempotency-Key of one's own, for retries after a restart, say.

    ``retain``: a duration such as ``7d`` in the trash. ``records``: the task's rows too. ``force``: also if running, or
    without a row. ``reason``: why, in one line, for the audit trail.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def delete(
        self,
        task_id: str,
        *,
        records: bool = False,
        force: bool = False,
        retain: str | None = None,
        reason: str | None = None,
        key: str | None = None,
    ) -> Deleted:
        """Delete one task, and wait for it."""
        body = deletion(records=records, force=force, retain=retain, reason=reason)
        path = task_path(task_id)
        return cast(Deleted, self._transport.send("DELETE", path, body, keyed=True, key=key)["data"])

    def delete_many(
        self,
        task_ids: Iterable[str],
        *,
        records: bool = False,
        force: bool = False,
        retain: str | None = None,
        reason: str | None = None,
        continue_on_error: bool = True,
        key: str | None = None,
    ) -> Batch:
        """Delete several, and wait for them. It raises nothing for a task that fails: the answer says it for each."""
        body = deletion(records=records, force=force, retain=retain, reason=reason)
        body |= {"task_ids": list(task_ids), "continue_on_error": continue_on_error}
        return cast(Batch, self._transport.send("DELETE", TASKS, body, keyed=True, key=key)["data"])

    def restore(self, task_id: str, *, deletion_id: str | None = None, key: str | None = None) -> dict[str, Any]:
        """Undo the latest deletion of the task, or the one named."""
        body = {} if deletion_id is None else {"deletion_id": deletion_id}
        path = f"{task_path(task_id)}/restore"
        return cast(dict[str, Any], self._transport.send("POST", path, body, keyed=True, key=key)["data"])

    def reload(self) -> dict[str, Any]:
        """Let the daemon load its configuration and policies anew; what is another one now. Everything or nothing."""
        return cast(dict[str, Any], self._transport.send("POST", f"{API}/reload", at_once=True)["data"])

    def hold(
        self,
        task_id: str | None = None,
        *,
        reason: str,
        pattern: str | None = None,
        until: str | None = None,
        lasting: str | None = None,
        owner: str | None = None,
        all_tasks: bool = False,
    ) -> Hold:
        """Keep a task, or those of a pattern, from being deleted: ``until`` a date, or ``lasting`` such as ``30d``."""
        given = {
            "task_id": task_id,
            "pattern": pattern,
            "reason": reason,
            "until": until,
            "for": lasting,
            "owner": owner,
            "all_tasks": all_tasks or None,
        }
        body = {name: value for name, value in given.items() if value is not None}
        return cast(Hold, self._transport.send("POST", f"{API}/holds", body, at_once=True)["data"])

    def release(self, hold_id: str) -> Hold:
        """End a hold."""
        return cast(Hold, self._transport.send("DELETE", f"{API}/holds/{segment(hold_id)}", at_once=True)["data"])

    def store_plan(self, policy: str) -> dict[str, Any]:
        """Make a plan and keep it; its ``digest`` is what ``sweep`` takes."""
        return cast(dict[str, Any], self._transport.send("POST", f"{API}/policies/{segment(policy)}/plans")["data"])

    def sweep(self, policy: str, *, plan: str | None = None, retry: bool = False) -> dict[str, Any]:
        """Run the policy once, by the stored plan of that digest or by a new one, and wait for its report.

        ``retry``: try at once what failed before.
        """
        body = {"confirm": True} | ({} if plan is None else {"plan": plan}) | ({"retry": True} if retry else {})
        path = f"{API}/policies/{segment(policy)}/sweeps"
        return cast(dict[str, Any], self._transport.send("POST", path, body)["data"])


def deletion(*, records: bool, force: bool, retain: str | None, reason: str | None) -> dict[str, Any]:
    """The body that every deletion has."""
    wishes = {"retain": retain, "reason": reason}
    body: dict[str, Any] = {"confirm": True, "delete_database_records": records, "force": force}
    return body | {name: value for name, value in wishes.items() if value is not None}
