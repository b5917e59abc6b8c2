"""What a policy may say of directories without a row: there is no status, user or completion to ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.policy.condition import OF_INVENTORY, Condition

if TYPE_CHECKING:
    from daemon.policy.models import Policy

_OF_ROWS = ("status", "task_name", "user", "database", "directory")


def check_source(policy: Policy) -> None:
    """Raises ValueError that names what a policy over orphans cannot ask for."""
    for condition in policy.match.inside():
        _check_condition(condition)
    if policy.action.what != "directory":
        raise ValueError("orphans have no records: write `delete: directory` or `trash` in `action`")
    if policy.keep is not None and policy.keep.last is not None:
        raise ValueError("orphans have no date of creation to keep the newest by: write `keep: {min_age: ...}`")
    if policy.quota is not None:
        raise ValueError("a quota is for tasks: leave out `source: orphans`, or the quota")


def _check_condition(condition: Condition) -> None:
    for word in _OF_ROWS:
        if getattr(condition, word) is not None:
            raise ValueError(f"orphans have no row, so no `{word}`: ask for task_id, size or an age by first_seen")
    for word in ("older_than", "newer_than"):
        age = getattr(condition, word)
        if age is not None and age.by not in OF_INVENTORY:
            raise ValueError(f"orphans are never `{age.by}`: write `{word}: {{age: ..., by: first_seen}}` or modified")
