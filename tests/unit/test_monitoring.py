"""Alert rules, dashboard and runbook: they name what exists, each other, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.core
import yaml

from daemon.cli import commands_of_sweepd
from monitoring.grafana.board import FILE, build, text_of
from support import exposition
from support.promql import filled, selectors

PROJECT = Path(__file__).parents[2]
PROMETHEUS = PROJECT / "monitoring" / "prometheus"
RUNBOOK = PROJECT / "docs" / "runbook"
GROUPS = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text(encoding="utf-8"))["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
PAGES = {path.stem: path for path in RUNBOOK.glob("Sweepd*.md")}
TESTS = sorted((PROMETHEUS / "tests").glob("*.yaml"))
DASHBOARD = json.loads(FILE.read_text(encoding="utf-8"))
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
# what Prometheus adds
LABELS = {
    **exposition.labels(),
    "up": {"instance", "job"},
    "ALERTS": {"alertname", "alertstate", "severity", "instance", "job"},
}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_asks_for_metrics_there_are_and_says_what_a_person_needs(name: str) -> None:
    alert = ALERTS[name]
    asked = list(selectors(alert["expr"]))
    assert asked
    for metric, labels in asked:
        assert metric in LABELS, f"{name} asks for {metric}"
        assert labels <= LABELS[metric], f"{name}: {metric} has no {labels - LABELS[metric]}"
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"docs/runbook/{name}.md"
    written = " ".join(alert["annotations"].values())
    # an aggregation leaves only the labels it names
    kept = re.findall(r"by \(([^)]*)\)", alert["expr"])
    for label in re.findall(r"\$labels\.(\w+)", written):
        assert not kept or any(label in names.split(", ") for names in kept), f"{name} speaks of {label}"


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    assert set(PAGES) == set(ALERTS)
    listed = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \|", (RUNBOOK / "README.md").read_text(), re.MULTILINE)
    assert {(name, name, alert["labels"]["severity"]) for name, alert in ALERTS.items()} == set(listed)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_what_happens_where_to_look_and_how_to_mend(name: str) -> None:
    text = PAGES[name].read_text(encoding="utf-8")
    assert text.startswith(f"# {name}\n\nSeverity: {ALERTS[name]['labels']['severity']}. ")
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["What sweepd does meanwhile", "Look", "Mend"]
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (RUNBOOK / target).exists(), f"links to {target}"
    events = (PROJECT / "docs" / "reference" / "logs.md").read_text(encoding="utf-8")
    for names in re.findall(r"""grep (?:-E )?'"\(?([a-z_|]+)\)?"'""", text):
        for event in set(names.split("|")) - {"failed"}:  # an outcome
            assert f"`{event}`" in events, f"there is no event {event}"
    for metric in re.findall(r"\bsweepd_[a-z_]+[a-z]\b", text):
        assert any(known.startswith(metric) for known in LABELS), f"there is no metric {metric}"


def test_every_command_of_the_runbook_is_one() -> None:
    group = typer.main.get_command(commands_of_sweepd())
    assert isinstance(group, typer.core.TyperGroup)
    tried = 0
    for path in [*PAGES.values(), RUNBOOK / "README.md"]:
        text = path.read_text(encoding="utf-8")
        for line in [
            *re.findall(r"^\$ (sweepd .*)", text, re.MULTILINE),
            *re.findall(r"`(sweepd [a-z-]+ ?[^`]*)`", text),
        ]:
            words = shlex.split(line.partition("|")[0].replace("…", ""), comments=True)[1:]
            print(path.stem, line)  # pytest shows it if it is wrong
            with group.make_context("sweepd", words) as context:
                name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
                assert command is not None
                if len(words) > 1:  # else it is only mentioned
                    command.make_context(name, rest, parent=context).close()
            tried += 1
    assert tried > 50


def test_every_alert_is_proven_quiet_and_ringing() -> None:
    quiet: set[str] = set()
    ringing: set[str] = set()
    for path in TESTS:
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for asked in case["promql_expr_test"]:
                [name] = re.findall(r'alertname="(\w+)"', asked["expr"])
                (ringing if asked["exp_samples"] else quiet).add(name)
    assert quiet == ringing == set(ALERTS)


def test_the_dashboard_is_what_its_script_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text_of(build()), "run: make dashboard"


@pytest.mark.parametrize("title", PANELS)
def test_a_panel_explains_itself_and_asks_for_metrics_there_are(title: str) -> None:
    panel = PANELS[title]
    assert panel["description"].endswith(".")
    assert panel["targets"]
    for target in panel["targets"]:
        asked = list(selectors(filled(target["expr"])))
        assert asked
        for metric, labels in asked:
            assert metric in LABELS, f"{title} asks for {metric}"
            assert labels <= LABELS[metric], f"{title}: {metric} has no {labels - LABELS[metric]}"
            assert metric == "ALERTS" or "instance" in labels, f"{title} mixes all instances"


def test_every_metric_of_sweepd_is_in_the_dashboard() -> None:
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", metric)
        for panel in PANELS.values()
        for target in panel["targets"]
        for metric, _ in selectors(filled(target["expr"]))
    }
    there = {re.sub(r"_(bucket|sum|count)$", "", name) for name in LABELS if name.startswith("sweepd_")}
    assert there - shown == {
        "sweepd_policy_first_seen_timestamp_seconds",  # before the first run, when it is due says it better
        "sweepd_inventory_scan_timestamp_seconds",  # shown as an age
        "sweepd_catalog_rolled_back",  # an alert, and a part of the daemon that is not ready
    }


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus"
)


def promtool(*arguments: str, text: str | None = None) -> str:
    # each case of `test rules` has a database of its own, which need not survive anything
    memory = {"TMPDIR": "/dev/shm"} if Path("/dev/shm").is_dir() else {}
    done = subprocess.run(
        ["promtool", *arguments],
        input=text,
        capture_output=True,
        text=True,
        cwd=PROMETHEUS,
        check=False,
        env={**os.environ, **memory},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_promtool_takes_the_rules_and_the_example() -> None:
    assert f"SUCCESS: {len(ALERTS)} rules found" in promtool("check", "rules", "--lint-fatal", "rules.yaml")
    assert "SUCCESS" in promtool("check", "config", "prometheus.yaml")


@needs_promtool
def test_promtool_proves_the_alerts() -> None:
    promtool("test", "rules", *(str(path) for path in TESTS))


@needs_promtool
def test_promtool_finds_nothing_to_say_of_the_metrics() -> None:
    assert promtool("check", "metrics", text=exposition.whole().render().decode()) == ""
