"""The reference pages name everything there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from daemon.cli import commands_of_sweepd
from daemon.cli.commands import REMOTE
from daemon.cli.exits import MEANINGS, Exit
from daemon.config import Config
from daemon.policy.condition import Condition
from daemon.policy.models import Action, Keep, Limits, Policy, Schedule
from daemon.web.errors import RULES
from support import exposition, log_events

PROJECT = Path(__file__).parents[2]
REFERENCE = PROJECT / "docs" / "reference"
_PAGES = tuple(str(path.relative_to(PROJECT)) for path in sorted(REFERENCE.glob("*.md")))


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def test_every_exit_status_is_documented_with_its_meaning() -> None:
    text = page("exit-codes.md")
    assert set(MEANINGS) == set(Exit)
    for status, meaning in MEANINGS.items():
        assert f"| {int(status)} | {meaning} |" in text


@pytest.mark.parametrize("name", ["README.md", "docs/install.md", "docs/operations.md", "docs/runbook/README.md"])
def test_commands_go_through_the_installed_one_which_has_the_credentials(name: str) -> None:
    assert "sudo -u sweepd" not in (PROJECT / name).read_text(encoding="utf-8")


def test_every_command_is_among_those_that_ask_a_daemon_or_those_that_do_not() -> None:
    asking, local = re.findall(r"((?:`[a-z-]+`[, and\n]+)+)(?:ask the daemon|work on their own)", page("client.md"))
    named = [re.findall(r"`([a-z-]+)`", one) for one in (asking, local)]
    group = typer.main.get_command(commands_of_sweepd())
    assert isinstance(group, typer.core.TyperGroup)
    shown = {name for name, command in group.commands.items() if not command.hidden}
    assert sorted(named[0]) == sorted(REMOTE)
    assert sorted(named[1]) == sorted(shown - REMOTE)


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    """With its type and its labels."""
    exposed = set()
    for family in exposition.whole().registry.collect():
        name = family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        exposed.add((name, "gauge" if family.type == "info" else family.type, frozenset(labels)))
    rows = re.findall(r"^\| `((?:sweepd|process|python)_\w+)` \| (\w+) \|([^|]*)\|", page("metrics.md"), re.MULTILINE)
    documented = [(name, kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows]
    assert set(documented) == exposed
    assert len(documented) == len(exposed)


def test_every_configuration_key_is_documented_and_every_documented_one_exists() -> None:
    keys: set[str] = set()
    for name, field in Config.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            keys.update(f"{name}.{key}" for key in section.model_fields)
        elif name != "file":
            keys.add(name)
    documented = set(re.findall(r"^\| `([a-z_.]+)`", page("configuration.md"), re.MULTILINE))
    assert documented == keys


@pytest.mark.parametrize("model", [Policy, Condition, Keep, Limits, Schedule, Action])
def test_every_word_of_the_policy_language_is_documented(model: type[BaseModel]) -> None:
    text = page("policies.md")
    for name, field in model.model_fields.items():
        word = (field.alias or name).rstrip("_")
        assert re.search(rf"`[^`]*\b{word}\b[^`]*`", text), f"{model.__name__}.{word} is not in policies.md"


def test_every_error_code_of_the_api_is_documented_under_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| ([^|]+) \|", page("api.md"), re.MULTILINE)
    documented = {(code, int(status)) for status, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert documented == {(str(code), rule.status) for code, rule in RULES.items()}


def test_every_log_event_is_documented_with_its_levels_and_fields_and_every_documented_one_exists() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| .+ \|$", page("logs.md"), re.MULTILINE)
    documented = {
        name: (set(re.findall("debug|info|warning|error", levels)), set(re.findall(r"`(\w+)`", fields)))
        for name, levels, fields in rows
    }
    assert documented == {name: (event.levels, event.fields) for name, event in log_events.events().items()}
    assert len(rows) == len(documented)


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "README.zh-CN.md",
        "docs/operations.md",
        "docs/install.md",
        "docs/deletion.md",
        "docs/monitoring.md",
        *_PAGES,
    ],
)
def test_links_lead_somewhere(name: str) -> None:
    source = PROJECT / name
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", source.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (source.parent / target).exists(), f"{name} links to {target}"


def test_the_readme_cites_the_last_complete_torture() -> None:
    table = (PROJECT / "docs" / "torture.md").read_text(encoding="utf-8")
    all_of_them = re.search(r"^\| \*\*all\*\* \| \| (\d+) \|", table, re.MULTILINE)
    mutants = re.search(r"^\| postgresql \| mutant \| (\d+) \|", table, re.MULTILINE)
    assert all_of_them is not None
    assert mutants is not None
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert f"[{int(all_of_them[1]):,} points](docs/torture.md)" in readme
    assert f"every one of {mutants[1]} deliberately broken versions" in " ".join(readme.split())
