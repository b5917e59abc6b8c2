"""The command line as a person or a script uses it: output, JSON, exit statuses."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import requests

from daemon.storage.sample import owned
from support.daemons import Installation
from support.stores import Store
from support.trees import fill, snapshot

POLICIES = """
version: 1
protect:
  - name: golden
    match: {task_id: {glob: "golden*"}}
policies:
  - name: old
    mode: enforce
    match: {all: [{status: completed}, {older_than: 30d}]}
    limits: {max_tasks: 2}
    action: {delete: directory}
  - name: watched
    match: {status: failed}
    action: {delete: directory_and_records}
  - name: idle
    mode: disabled
    match: {status: failed}
    action: {delete: directory}
"""


@pytest.fixture
def site(tmp_path: Path) -> Installation:
    """On SQLite, with one task that goes and some that stay."""
    made = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    made.init()
    made.url = f"sqlite:///{made.folder}/var/sweepd.sqlite3"
    for task_id, status in (("task_old", "completed"), ("golden_1", "completed"), ("task_failed", "failed")):
        add(made, task_id, status=status)
    add(made, "task_running", status="in_progress")
    return made


def add(site: Installation, task_id: str, **columns: object) -> None:
    Store(site.url).add_task(task_id, **{"status": "completed", "completed_at": datetime(2025, 1, 1), **columns})
    fill(site.root / task_id)


def command(site: Installation, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "daemon", "--config", str(site.config), *arguments]


def on_terminal(site: Installation, answer: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command whose questions somebody answers."""
    ours, theirs = os.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        return subprocess.run(
            command(site, *arguments), stdin=theirs, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)


def names(site: Installation) -> set[str]:
    return {path.name for path in site.root.iterdir()} - {".sweepd"}


def test_plan_says_what_goes_and_why_and_deletes_nothing(site: Installation) -> None:
    fill(site.root / "manual_20250101_000000")
    shown = site.run("plan", "old", cold=True).stdout
    document = json.loads(site.run("plan", "--json").stdout)
    assert "1 of 4 tasks go" in shown
    assert "directories without a row: 1 (manual_20250101_000000); no policy looks at them" in shown
    assert document["orphans"] == ["manual_20250101_000000"]
    assert "protected by golden" in shown
    [old, watched] = document["plans"]
    assert [task["task_id"] for task in old["goes"]] == ["task_old"]
    assert old["goes"][0]["census"]["files"] == 3
    assert {task["task_id"]: task["verdict"] for task in old["stays"]} == {
        "golden_1": "protected",
        "task_failed": "not_matched",
        "task_running": "running",
    }
    assert [clause["holds"] for clause in old["goes"][0]["clauses"]] == [True, True]
    assert [task["task_id"] for task in watched["goes"]] == ["task_failed"]
    assert len(names(site)) == 5
    assert "secret" not in json.dumps(document)


def test_sweep_deletes_what_the_plan_said(site: Installation) -> None:
    report = json.loads(site.run("sweep", "old", "--json", cold=True).stdout)
    assert (report["outcome"], report["deleted"], report["files"]) == ("success", ["task_old"], 3)
    assert names(site) == {"golden_1", "task_failed", "task_running"}


def test_an_observing_policy_only_reports(site: Installation) -> None:
    done = site.run("sweep", "watched")
    assert "would delete 1 of 4 tasks" in done.stdout
    assert "task_failed" in names(site)


def test_one_task_over_the_limit_is_exit_7_and_deletes_nothing(site: Installation) -> None:
    for number in range(2):
        add(site, f"task_more_{number}")
    done = site.run("sweep", "old", check=False)
    assert done.returncode == 7
    assert "3 tasks are selected, limits.max_tasks is 2: nothing was deleted" in done.stdout
    assert len(names(site)) == 6
    said = "limits: 3 tasks are selected, limits.max_tasks is 2: a sweep is blocked, and takes none"
    assert said in site.run("plan", "old").stdout
    assert said not in site.run("plan", "watched").stdout


def test_a_plan_with_a_quota_says_that_no_sweep_takes_all_of_it(site: Installation) -> None:
    site.write_policies(
        "version: 1\npolicies:\n  - name: full\n    match: {status: completed}\n"
        "    quota: {of: filesystem, high: 99%, low: 98%}\n    action: {delete: directory}\n"
    )
    said = site.run("plan", "full", "--at", "2099-01-01").stdout
    assert "quota: a sweep takes the first of these, and only when filesystem (bytes) is at 99% or above" in said
    assert "would delete 0 of" in site.run("sweep", "full").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["sweep", "nothing"], 2, "no policy `nothing`"),
        (["sweep", "idle"], 8, "disabled"),
        (["delete", "--yes", "task_none"], 4, "there is no task task_none"),
        (["delete", "--yes", "task_running"], 4, "is running"),
        (["delete", "--yes", ".."], 4, "is not a task id"),
        (["delete", "--yes", ".sweepd"], 4, "is not a task id"),
        (["nonsense"], 2, "No such command"),
        (["tasks", "--limit", "0"], 2, "--limit"),
        (["tasks", "--status", "complete"], 2, "unknown status 'complete': did you mean `completed`? known: pending,"),
        (["plan", "--at", "9999-12-31"], 2, "out of range: a date is between the years 1970 and 9000"),
        (["plan", "--at", "soon"], 2, "not a date: write 2026-12-31"),
    ],
)
def test_what_cannot_be_done_says_so_and_has_its_exit_status(
    site: Installation, arguments: list[str], status: int, said: str
) -> None:
    done = site.run(*arguments, check=False)
    assert done.returncode == status
    assert said in done.stdout + done.stderr
    assert len(names(site)) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["delete", "x", "--retain", "7"], "such as 30d, 12h or 1d12h. See: sweepd delete --help"),
        (["delete", "task_old"], "give --yes. See: sweepd delete --help"),
        (["tasks", "--limit", "0"], "'--limit': Input should be greater than or equal to 1. See: sweepd tasks --help"),
        (["token", "create", "x", "--expires", "7", "--scope", "read"], "1d12h. See: sweepd token create --help"),
        (["token", "create"], "Missing argument 'name'. See: sweepd token create --help"),
        (["--nonsense"], "No such option: --nonsense. See: sweepd --help"),
    ],
)
def test_a_usage_error_names_the_help_of_its_command(site: Installation, arguments: list[str], said: str) -> None:
    done = site.run(*arguments, check=False)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr


def test_delete_by_hand_reports_each_task(site: Installation) -> None:
    done = site.run("delete", "--yes", "--records", "--json", "task_old", "task_running", check=False, cold=True)
    report = json.loads(done.stdout)
    assert done.returncode == 4
    assert [entry["task_id"] for entry in report["deleted"]] == ["task_old"]
    assert [(entry["task_id"], entry["code"]) for entry in report["failed"]] == [("task_running", "TASK_RUNNING")]
    assert Store(site.url).task("task_old") is None
    assert names(site) == {"golden_1", "task_failed", "task_running"}


def test_delete_without_a_terminal_and_without_yes_deletes_nothing(site: Installation) -> None:
    done = site.run("delete", "task_old", check=False)
    assert (done.returncode, "give --yes" in done.stderr) == (2, True)
    assert "task_old" in names(site)
    nowhere = subprocess.run(
        ["sh", "-c", '"$@" <&-', "sh", *command(site, "purge", "0")], capture_output=True, text=True, check=False
    )
    assert (nowhere.returncode, "give --yes" in nowhere.stderr) == (2, True)


@pytest.mark.parametrize(("answer", "status"), [("n", 13), ("y", 0)])
def test_what_is_asked_is_done_only_if_the_answer_is_yes(site: Installation, answer: str, status: int) -> None:
    done = on_terminal(site, answer, "delete", "task_old")
    assert done.returncode == status
    assert "Delete the directories of task_old?" in done.stderr
    assert ("sweepd: nothing was done" in done.stderr, "task_old" in names(site)) == (status != 0, status != 0)


def test_nothing_is_asked_with_a_wrong_configuration(site: Installation) -> None:
    site.config.write_text("server: {prot: 1}\n")
    for arguments in (("delete", "task_old"), ("purge", "0")):
        done = on_terminal(site, "n", *arguments)
        assert (done.returncode, "config.yaml:1:10: " in done.stderr) == (3, True)


def test_a_task_that_waits_in_the_trash_is_not_only_absent(site: Installation) -> None:
    site.run("delete", "--yes", "task_old", "--records", "--retain", "1d")
    done = site.run("explain", "task_old", check=False)
    assert done.returncode == 4
    assert "there is no task task_old" in done.stderr
    assert "it waits in the trash, and comes back with: sweepd restore task_old" in done.stderr
    assert "restore" not in site.run("explain", "task_none", check=False).stderr


def test_a_policy_for_orphans_keeps_no_records(site: Installation) -> None:
    site.write_policies(
        "version: 1\npolicies:\n"
        "  - name: lost\n    source: orphans\n    match: {older_than: {age: 7d, by: first_seen}}\n"
        "    action: {trash: {retain: 7d}}\n"
    )
    assert (
        "policy lost (mode observe): deletes directories without a row, after 7d in the trash\n"
        in site.run("plan").stdout
    )


def test_tasks_lists_them(site: Installation) -> None:
    lines = site.run("tasks", "--status", "completed", cold=True).stdout.splitlines()
    assert lines[0].split("\t")[:3] == ["task", "status", "directory"]
    assert lines[-1] == "2 of 2 tasks"
    several = site.run("tasks", "--status", "completed", "--status", "failed", "--json").stdout
    assert {task["status"] for task in json.loads(several)["tasks"]} == {"completed", "failed"}
    assert json.loads(site.run("tasks", "--json", "--limit", "1").stdout)["total"] == 4


def test_a_reader_that_has_gone_is_no_bug(site: Installation) -> None:
    """More than a pipe holds, so that the write is what fails."""
    store = Store(site.url)
    for number in range(900):
        store.add_task(f"task_{number:03}_{'x' * 100}", status="completed", completed_at=datetime(2025, 1, 1))
    reading = command(site, "plan", "--no-sizes", "--all")
    with subprocess.Popen(reading, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (141, b"")


@pytest.mark.parametrize("arguments", [["tasks"], ["tasks", "--json"], ["--help"]])
def test_an_output_that_cannot_be_written_is_one_line(site: Installation, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command(site, *arguments), stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == b"sweepd: the output cannot be written: no space left on device\n"


def test_deletions_are_remembered_with_their_reason(site: Installation) -> None:
    done = site.run("delete", "--yes", "task_old", "--reason", "two\nlines", check=False)
    assert (done.returncode, "--reason" in done.stderr) == (2, True)
    site.run("delete", "--yes", "task_old", "--reason", "=1+1")
    site.run("delete", "--yes", "task_failed", "--retain", "1d")
    newest, oldest = json.loads(site.run("deletions", "--json").stdout)["deletions"]
    assert (newest["task_id"], newest["state"], newest["reason"]) == ("task_failed", "committed", None)
    assert (oldest["task_id"], oldest["trigger"], oldest["reason"]) == ("task_old", "cli", "=1+1")
    lines = site.run("deletions", "task_*", "--state", "purged").stdout.splitlines()
    assert [line.split("\t")[2] for line in lines[1:-1]] == ["task_old"]
    [row] = csv.DictReader(site.run("deletions", "--csv", "task_old", "--until", "2999-01-01").stdout.splitlines())
    assert (row["task_id"], row["reason"]) == ("task_old", "'=1+1")
    assert site.run("deletions", "--since", "soon", check=False).returncode == 2


def test_check_prints_every_mistake_with_its_place(site: Installation) -> None:
    assert site.run("check", cold=True).stdout.startswith("ok: 3 policies: old (enforce), watched (observe)")
    (site.folder / "policies" / "protect.YAML").write_text("version: 1\n")
    (site.folder / "policies" / "notes.txt").write_text("x")
    done = site.run("check")
    assert done.stdout.endswith("; 1 protections\n")
    assert done.stderr == (
        f"{site.folder}/policies/protect.YAML: not read: the name of a policy file ends with .yaml or .yml\n"
    )
    found = json.loads(site.run("check", "--json").stdout)
    assert (len(found["protect"]), found["unread"]) == (1, [f"{site.folder}/policies/protect.YAML"])
    site.write_policies(
        "version: 1\npolicies:\n  - name: x\n    mode: enforce\n    match: {older_than: 6m}\n"
        "    action: {delete: directory}\n"
    )
    assert "warning: policy x: `older_than: 6m` means 6 minutes;" in site.run("check").stderr
    [warning] = json.loads(site.run("check", "--json").stdout)["warnings"]
    assert "such as 180d" in warning
    site.write_policies(
        "version: 1\npolicies:\n  - name: x\n    match: {older_than: 30}\n    acton: {delete: directory}\n"
    )
    done = site.run("check", check=False)
    assert done.returncode == 3
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all("policies.yaml:" in line for line in lines)
    assert "policies.yaml:4:25: " in done.stderr
    problems = json.loads(site.run("check", "--json", check=False).stdout)["problems"]
    assert [(problem["line"], problem["column"]) for problem in problems][1:] == [(4, 25), (5, 5)]


@pytest.mark.parametrize(
    ("policy", "place", "said"),
    [
        ("match: {status: failed}\n    match: {status: completed}", "5:5", "duplicate key `match`"),
        ("macth: {status: failed}", "4:5", "unknown key `macth`: did you mean `match`?"),
        ("match: {older_than: 30}", "4:25", "`age`: a duration needs a unit"),
        ("match: {}", "4:12", "`match`: matches every task"),
        ("match: &any {status: failed}", "4:12", "a leading `&` is an anchor"),
    ],
    ids=["duplicate-key", "typo", "no-unit", "empty-match", "anchor"],
)
def test_what_could_delete_too_much_is_refused_at_its_place(
    site: Installation, policy: str, place: str, said: str
) -> None:
    site.write_policies(f"version: 1\npolicies:\n  - name: x\n    {policy}\n    action: {{delete: directory}}\n")
    done = site.run("check", check=False)
    assert done.returncode == 3
    assert f"policies.yaml:{place}: {said}" in done.stderr
    assert site.run("plan", check=False).returncode == 3


def test_check_prints_the_schema_without_any_configuration(site: Installation) -> None:
    site.write_policies("nonsense")
    schema = json.loads(site.run("check", "--schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "match" in schema["$defs"]["Policy"]["required"]


def test_a_wrong_configuration_is_exit_3_everywhere(site: Installation) -> None:
    site.config.write_text("server: {prot: 1}\nlog: {level: info, level: debug}\n")
    for command in ("run", "init", "check", "plan", "tasks"):
        done = site.run(command, check=False)
        assert done.returncode == 3, command
        assert "config.yaml:1:10: " in done.stderr
        assert "config.yaml:2:20: " in done.stderr


def test_an_unmarked_root_refuses_and_names_the_command(site: Installation) -> None:
    marker = site.root / ".sweepd" / "root.json"
    kept = marker.read_text()
    marker.unlink()
    done = site.run("delete", "--yes", "task_old", check=False)
    init = site.run("init", check=False)
    assert done.returncode == 5
    assert "sweepd init" in done.stderr + done.stdout
    assert init.returncode == 8
    assert "--replace-root" in init.stderr
    assert len(names(site)) == 4
    marker.write_text(kept)
    site.run("delete", "--yes", "task_old")
    assert len(names(site)) == 3


def test_before_init_every_command_says_to_run_it(tmp_path: Path) -> None:
    fresh = Installation(tmp_path / "fresh", "sqlite:///var/sweepd.sqlite3", POLICIES)
    for command in (["plan"], ["tasks"], ["sweep", "old"], ["delete", "--yes", "task_1"]):
        done = fresh.run(*command, check=False)
        assert done.returncode == 6, command
        assert "sweepd init" in done.stderr + done.stdout
    assert not (fresh.folder / "var").exists()


def test_init_twice_changes_nothing_the_second_time(tmp_path: Path) -> None:
    site = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    assert "marked " in site.run("init", cold=True).stdout
    assert site.run("init").stdout == "everything was ready, nothing was changed\n"


def test_an_address_others_can_reach_needs_tokens(site: Installation) -> None:
    config = site.config.read_text()
    site.config.write_text(config.replace("port: 0", "port: 0, host: 0.0.0.0"))
    done = site.run("run", check=False)
    assert done.returncode == 8
    assert "server.tokens" in done.stderr


def test_a_demo_where_nothing_can_be_made(site: Installation) -> None:
    for folder in ("/proc/x", str(site.config)):
        done = site.run("demo", "--folder", folder, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (8, 1), done.stderr
        assert f"cannot make the sample in {folder}: " in done.stderr


def test_the_demo_runs_twice_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "daemon", "demo", "--folder", str(tmp_path / "demo"), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines: list[str] = []
        end = time.monotonic() + 60
        for line in process.stdout:
            lines.append(line)
            if line.startswith("  edit "):  # the last line it prints
                break
            assert time.monotonic() < end
        address = next(line for line in lines if line.startswith("serving ")).split()[1].rstrip(";")
        tasks = requests.get(f"{address}/api/v0/data_pipeline/tasks", timeout=10).json()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        output = "".join(lines) + rest
        assert process.returncode == 0, output
        assert tasks["data"]["total"] == 200
        assert "sweep of finished-after-30-days: success" in output
        assert "protected by golden-runs" in output
        assert "curl -X DELETE" in output


def test_the_demo_takes_no_folder_that_is_somebody_elses(tmp_path: Path) -> None:
    site = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
    site.init()
    fill(site.root / "task_precious", 3)
    before = snapshot(site.folder)
    refused = site.run("demo", "--folder", str(site.folder), check=False)
    assert (refused.returncode, "holds no earlier demo" in refused.stderr) == (8, True)
    assert snapshot(site.folder) == before


def test_the_demo_does_not_take_the_folder_of_one_that_runs(tmp_path: Path) -> None:
    with owned(tmp_path / "demo"):
        site = Installation(tmp_path / "site", "sqlite:///var/sweepd.sqlite3", POLICIES)
        refused = site.run("demo", "--folder", str(tmp_path / "demo"), check=False)
    assert (refused.returncode, "runs in" in refused.stderr) == (8, True)
