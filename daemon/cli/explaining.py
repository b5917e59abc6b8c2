"""``sweepd explain``: one task before every policy."""

from __future__ import annotations

import shlex
from contextlib import suppress

from daemon.app.services import Services
from daemon.cli.dates import read_instant
from daemon.cli.planning import eligible_in_words
from daemon.cli.render import dump, say, say_message, table
from daemon.errors import ErrorCode, SweepdError, TaskRefused
from daemon.moments import for_people
from daemon.sizes import format_size
from daemon.sweep.documents import explanation_document
from daemon.sweep.explanation import Answer, Explanation, explain
from daemon.sweep.reasons import held

_HOLDS = {True: "yes", False: "no", None: "unknown"}


def show_explanation(services: Services, task_id: str, *, at: str | None, as_json: bool) -> None:
    """Print what every policy says of the task, as of ``at`` or now. Raises SweepdError or typer.BadParameter."""
    policies = services.load_policies()
    instant = None if at is None else read_instant(at, "--at")
    try:
        explanation = explain(services.catalog, policies, task_id, instant)
    except TaskRefused as error:
        if error.code is ErrorCode.TASK_NOT_FOUND and services.retention.waiting(task_id):
            message = f"{error}; it waits in the trash, and comes back with: sweepd restore {shlex.quote(task_id)}"
            raise TaskRefused(message, code=error.code) from error
        raise
    if as_json:
        dump(explanation_document(explanation))
        return
    _show_task(explanation)
    if explanation.task and not explanation.task.directory_exists and _has_directory(services, task_id):
        say(
            "its row says that its directory is gone, and there is one: sweepd inventory --scan puts the row right",
            style="yellow",
        )
    for answer in explanation.answers:
        _show_answer(answer)
    if not explanation.answers:
        say(f"there are no policies in {services.config.policies}")


def _show_task(explanation: Explanation) -> None:
    task, measured = explanation.task, explanation.measured
    status = f"status {task.status}" if task else "no row"
    size = f", {format_size(measured.size_bytes)}" if measured and measured.size_bytes is not None else ""
    say(f"task {explanation.task_id}: {status}{size}", style="bold")
    say(f"as of {for_people(explanation.now.utc, seconds=True)}", style="dim")
    for hold in explanation.holds:
        say(held(hold, explanation.now))
    for name in explanation.protections:
        say(f"protected by {name}")


def _has_directory(services: Services, task_id: str) -> bool:
    with suppress(SweepdError, OSError), services.root.open() as root:
        return root.is_back(task_id)
    return False


def _show_answer(answer: Answer) -> None:
    decision = answer.decision
    say()
    say(f"policy {answer.policy.name} (mode {answer.policy.mode})", style="bold")
    if decision is None:
        say(f"does not look at it: {answer.not_looked_at}")
        return
    say_message(f"{'goes' if decision.goes else 'stays'} ({decision.verdict}): {decision.reason}")
    eligible = decision.eligible
    if eligible is not None:
        say(f"could go at the earliest: {eligible.why or eligible_in_words(eligible)}")
    rows = [(clause.path, clause.required, clause.actual, _HOLDS[clause.holds]) for clause in decision.clauses]
    if rows:
        table(("clause", "requires", "has", "holds"), rows)
