"""``sweepd test``: whether policies decide what their tests expect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from daemon.cli.exits import Exit
from daemon.cli.render import dump, say, table
from daemon.config import CatalogConfig, load_config
from daemon.errors import DocumentError, Problem
from daemon.sweep.rehearsal import Rehearsal, rehearse

_DEFAULT = Path("config.yaml")


def run_tests(config: Path, files: Sequence[Path], *, as_json: bool) -> Exit:
    """Run the files and print what differs. Raises DocumentError with every mistake of every file."""
    catalog = CatalogConfig() if config == _DEFAULT and not config.exists() else load_config(config).catalog
    results: list[Rehearsal] = []
    problems: list[Problem] = []
    for file in files:
        try:
            result = rehearse(file, catalog.statuses, catalog.running_statuses)
            results.append(result)
            if not result.checked:
                nothing = "expects nothing of any task, so that it would always pass: fill `tasks` and `expect`"
                problems.append(Problem(str(file), 1, 1, nothing))
        except DocumentError as error:
            problems.extend(error.problems)
    if problems:
        raise DocumentError(problems)
    good = not any(result.differences for result in results)
    if as_json:
        dump({"ok": good, "files": [asdict(result) for result in results]})
    else:
        _show(results)
    return Exit.OK if good else Exit.FAILED


def _show(results: Sequence[Rehearsal]) -> None:
    for result in results:
        wrong = len(result.differences)
        style = "bold red" if wrong else "bold green"
        said = f"{wrong} of {result.checked} decisions differ" if wrong else f"{result.checked} decisions as expected"
        say(f"{result.file}: {said}", style=style)
        if wrong:
            rows = [(one.policy, one.task_id, one.expected, one.found) for one in result.differences]
            table(("policy", "task", "expected", "found"), rows)
