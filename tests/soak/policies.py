"""The policies of the soak: what goes by itself, what must stay although it matches, and files with mistakes."""

from __future__ import annotations

_POLICIES = """
version: 1
protect:
  - {{name: kept, match: {{task_id: {{glob: "keep_*"}}}}}}
policies:
  - name: aged
    description: variant {variant}
    mode: enforce
    schedule: {{every: 2s}}
    match: {{task_id: {{glob: ["sweep_*", "run_*", "keep_*", "hold_*", "flip_*", "young_*"]}}, older_than: {age}}}
    action: {{delete: directory}}
  - name: with-records
    mode: enforce
    schedule: {{every: 3s}}
    match: {{task_id: {{glob: "records_*"}}, older_than: {age}}}
    action: {{delete: directory_and_records}}
  - name: to-the-trash
    mode: enforce
    schedule: {{every: 3s}}
    match: {{task_id: {{glob: "trash_*"}}, older_than: {age}}}
    action: {{trash: {{retain: 15s}}}}
  - name: only-looks-{variant}
    mode: observe
    schedule: {{every: 5s}}
    source: orphans
    match: {{older_than: {{age: 1d, by: first_seen}}}}
    action: {{delete: directory}}
"""


def policies(variant: int) -> str:
    """Every variant means the same for the tasks that are deleted."""
    return _POLICIES.format(variant=variant, age=("30d", "31d", "4w")[variant % 3])


def broken(variant: int) -> str:
    """One with a mistake: the daemon has to go on with what it has."""
    mistakes = (("older_than", "oldr_than"), ("30d", "30"), ("version: 1", "version: 2"), ("enforce", "now"))
    return policies(0).replace(*mistakes[variant % len(mistakes)], 1)
