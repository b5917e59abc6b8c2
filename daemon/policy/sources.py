"""What a policy may say of directories without a row: there is no status, user or completion to ask for."""

from __future__ import annotations

from collections.abc import Iterator

from daemon.policy.condition import OF_INVENTORY, Condition
from daemon.strict_yaml import Location, Mistake

_OF_ROWS = ("status", "task_name", "user", "database", "directory")


def asked_of_rows(match: Condition) -> Iterator[Mistake]:
    """What a condition asks for that only a row has, each at its place."""
    for path, condition in match.places():
        for word in _OF_ROWS:
            if getattr(condition, word) is not None:
                yield Mistake("orphans have no row to ask for it: ask for `task_id`, `size` or an age", *path, word)
        for word in ("older_than", "newer_than"):
            age = getattr(condition, word)
            if age is not None and age.by not in OF_INVENTORY:
                at: Location = (*path, word, "by") if "by" in age.model_fields_set else (*path, word)
                message = f"orphans have no row that says when they were `{age.by}`: write `first_seen` or `modified`"
                yield Mistake(message, *at)
