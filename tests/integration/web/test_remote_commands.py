"""``sweepd --server URL``: the commands for a running daemon, in front of the real API."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr

from daemon.cli.exits import Exit
from daemon.config import ServerConfig
from daemon.policy.models import Policy, PolicySet
from integration.web.installation import NO_DATABASE, Api, Installation, serving
from integration.web.remote import Sweepd

TASK, OTHER = "task_20250702_173932", "task_20250702_174521"
TOKEN = "a-token-of-more-than-16"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SWEEPD_SERVER", "SWEEPD_TOKEN", "SWEEPD_TOKEN_FILE", "SWEEPD_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("daemon.client.transport._PAUSE_S", 0.001)


async def test_tasks_are_listed_deleted_and_restored(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.fifteen(TASK)
    installation.row(OTHER, status="failed", created_at="2025-07-01 00:00:00")
    assert await sweepd(api, "tasks") == Exit.OK
    lines = [line.split("\t") for line in sweepd.out.splitlines()]
    assert [line[:3] for line in lines[1:3]] == [[TASK, "completed", "present"], [OTHER, "failed", "present"]]
    assert await sweepd(api, "tasks", "--offset", "1", "--limit", "1", "--json") == Exit.OK
    assert [task["task_id"] for task in sweepd.json["tasks"]] == [OTHER]
    assert await sweepd(api, "tasks", "--status", "failed", "--json") == Exit.OK
    assert [task["task_id"] for task in sweepd.json["tasks"]] == [OTHER]

    assert await sweepd(api, "delete", "--yes", "--retain", "7d", TASK) == Exit.OK
    assert sweepd.out.startswith(f"{TASK}: moved to the trash (15 files, 2.5 MB); can be restored until ")
    assert await sweepd(api, "trash", "--json") == Exit.OK
    [waiting] = sweepd.json["deletions"]
    assert await sweepd(api, "trash") == Exit.OK
    assert sweepd.out.splitlines()[1].split("\t")[:4] == [waiting["deletion_id"], TASK, "directory", "2.5 MB"]
    assert await sweepd(api, "restore", waiting["deletion_id"]) == Exit.OK
    assert sweepd.out == f"{TASK}: directory restored (deletion {waiting['deletion_id']})\n"
    assert (installation.root / TASK).is_dir()

    assert await sweepd(api, "delete", "--yes", "--records", "--json", TASK) == Exit.OK
    assert sweepd.json["deleted_tasks"][0]["database_records_deleted"] is True
    assert list(installation.rows()) == [OTHER]


async def test_a_refusal_says_why_and_what_to_do(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.task(TASK, 10, status="in_progress")
    before = installation.everything()
    assert await sweepd(api, "delete", "--yes", TASK) == Exit.NOT_DELETED
    assert sweepd.out.startswith(f"{TASK}: The task is running and cannot be deleted: Try again when it has ended")
    for none in ("..", "", "a/b"):  # the first two are part of no address
        assert await sweepd(api, "delete", "--yes", "--json", none) == Exit.NOT_DELETED
        assert sweepd.json["failed_tasks"][0]["error_code"] == "INVALID_TASK_ID"
        assert await sweepd(api, "restore", "--json", none) == Exit.NOT_DELETED
        assert sweepd.json["failed"][0]["error_code"] == "INVALID_TASK_ID"
        assert await sweepd(api, "explain", none) == Exit.NOT_DELETED
    assert await sweepd(api, "plan", "..") == Exit.USAGE
    assert await sweepd(api, "restore", TASK, "task_missing", "--json") == Exit.NOT_DELETED
    assert [one["error_code"] for one in sweepd.json["failed"]] == ["NOT_RESTORABLE", "NOT_RESTORABLE"]
    assert await sweepd(api, "sweep", "nothing") == Exit.USAGE
    assert "GET /api/v0/policies" in sweepd.err
    assert installation.everything() == before


async def test_it_asks_before_it_deletes(
    api: Api, installation: Installation, sweepd: Sweepd, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    with Path("/dev/null").open(encoding="utf-8") as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert await sweepd(api, "delete", TASK) == Exit.USAGE
    assert "give --yes" in sweepd.err
    assert installation.everything() == before


async def test_holds(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.task(TASK, 10)
    assert (
        await sweepd(api, "hold", "task_2025*", "--reason", "an audit", "--for", "30d", "--owner", "alice") == Exit.OK
    )
    assert sweepd.out.startswith("task_2025*: held until ")
    assert "1 tasks now" in sweepd.out
    assert await sweepd(api, "delete", "--yes", TASK) == Exit.NOT_DELETED
    assert "by alice, because: an audit" in sweepd.out
    assert await sweepd(api, "holds") == Exit.OK
    assert sweepd.out.splitlines()[1].split("\t")[1:3] == ["task_2025*", "alice"]
    assert await sweepd(api, "hold", "*", "--reason", "all") == Exit.USAGE
    assert "--all-tasks" in sweepd.err
    assert await sweepd(api, "release", "task_2025*", "nothing") == Exit.NOT_DELETED
    assert "task_2025*: released" in sweepd.out
    assert "nothing: there is no such hold in force" in sweepd.out
    assert await sweepd(api, "holds", "--all", "--json") == Exit.OK
    assert [hold["in_force"] for hold in sweepd.json["holds"]] == [False]


async def test_plans_sweeps_and_explanations(api: Api, installation: Installation, sweepd: Sweepd) -> None:
    installation.task(TASK, 1000)
    installation.task(OTHER, 10, status="failed")
    old = {"name": "old", "mode": "enforce", "match": {"status": ["completed"]}, "action": {"delete": "directory"}}
    idle = {**old, "name": "idle", "mode": "disabled"}
    installation.policies = PolicySet(policies=(Policy.model_validate(old), Policy.model_validate(idle)))
    assert await sweepd(api, "policies") == Exit.OK
    assert [line.split("\t")[:2] for line in sweepd.out.splitlines()[1:3]] == [["old", "enforce"], ["idle", "disabled"]]
    assert await sweepd(api, "plan", "--save") == Exit.OK
    assert "1 of 2 tasks go; 1 stay" in sweepd.out
    assert f"{TASK}\tcompleted\t" in sweepd.out
    assert "idle" not in sweepd.out
    apply = next(line for line in sweepd.out.splitlines() if line.startswith("stored; ")).split()[-4:]
    assert apply[:3] == ["sweep", "old", "--plan"]
    assert await sweepd(api, "explain", OTHER) == Exit.OK
    assert "policy old (mode enforce)\nstays" in sweepd.out
    assert await sweepd(api, "explain", TASK) == Exit.OK
    assert "policy old (mode enforce)\ngoes (selected)" in sweepd.out
    assert await sweepd(api, *apply) == Exit.OK
    assert "deleted 1 of 1 selected tasks: 1 files, 1.0 KB" in sweepd.out
    assert await sweepd(api, "sweeps", "old") == Exit.OK
    assert sweepd.out.splitlines()[1].split("\t")[1] == "old"
    assert await sweepd(api, "plan", "old", "--json") == Exit.OK
    assert sweepd.json["plans"][0]["selected"] == 0
    assert await sweepd(api, "sweep", "idle") == Exit.REFUSED
    assert installation.rows()[TASK]["directory_exists"] == 0


async def test_a_token_comes_from_a_file_or_the_environment(
    installation: Installation, sweepd: Sweepd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "token"
    kept.write_text(f"{TOKEN}\n")
    async with serving(installation, server=ServerConfig(tokens=(SecretStr(TOKEN),))) as api:
        assert await sweepd(api, "trash") == Exit.DENIED
        assert "Authorization: Bearer" in sweepd.err
        assert await sweepd(api, "delete", "--yes", TASK) == Exit.DENIED
        assert await sweepd(api, "--token-file", str(kept), "trash") == Exit.OK
        assert await sweepd(api, "--token-file", str(tmp_path / "nothing"), "trash") == Exit.USAGE
        kept.write_text("\n")
        assert await sweepd(api, "--token-file", str(kept), "trash") == Exit.USAGE
        kept.write_text("not one\n")
        assert await sweepd(api, "--token-file", str(kept), "trash") == Exit.USAGE
        assert "not one" not in sweepd.err
        monkeypatch.setenv("SWEEPD_TOKEN", TOKEN)
        assert await sweepd(api, "trash") == Exit.OK
        assert TOKEN not in sweepd.out + sweepd.err


async def test_over_a_unix_socket(api: Api, sweepd: Sweepd, tmp_path: Path) -> None:
    await web.UnixSite(api.runner, tmp_path / "api.sock").start()
    assert await sweepd.at(f"unix://{tmp_path}/api.sock", "tasks") == Exit.OK


@pytest.mark.parametrize(
    ("server", "status", "said"),
    [
        ("http://127.0.0.1:1", Exit.SERVER, "cannot reach http://127.0.0.1:1"),
        ("unix:///nowhere.sock", Exit.SERVER, "cannot reach /nowhere.sock"),
        ("127.0.0.1:8084", Exit.USAGE, "http://HOST:PORT"),
        ("http://alice:secret@127.0.0.1:8084", Exit.USAGE, "SWEEPD_TOKEN"),
    ],
)
async def test_an_address_where_nobody_is(sweepd: Sweepd, server: str, status: Exit, said: str) -> None:
    assert await sweepd.at(server, "tasks") == status
    assert said in sweepd.err
    assert "secret" not in sweepd.err


async def test_authorities_that_are_not_there_are_a_wrong_command_line(sweepd: Sweepd, tmp_path: Path) -> None:
    missing = tmp_path / "authorities.pem"
    assert await sweepd.here("--server", "https://127.0.0.1:1", "--ca-file", str(missing), "tasks") == Exit.USAGE
    assert str(missing) in sweepd.err


async def test_a_daemon_in_trouble(installation: Installation, sweepd: Sweepd) -> None:
    async with serving(installation, url=NO_DATABASE) as api:
        assert await sweepd(api, "sweep", "nothing") == Exit.USAGE
        assert await sweepd(api, "hold", TASK, "--reason", "an audit") == Exit.CATALOG
        assert "[request " in sweepd.err
        api.problems["recovery"] = "two deletions are being settled"
        assert await sweepd(api, "sweep", "nothing") == Exit.SERVER
        assert "two deletions are being settled" in sweepd.err


async def test_commands_of_this_machine_take_no_server(
    sweepd: Sweepd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (["check"], ["init"], ["run"], ["purge", "--yes", "1"], ["inventory"], ["resume", "old"]):
        assert await sweepd.at("http://127.0.0.1:1", *command) == Exit.USAGE
        assert f"`sweepd {command[0]}` works on this machine only" in sweepd.err
    monkeypatch.setenv("SWEEPD_SERVER", "http://127.0.0.1:1")
    config = tmp_path / "config.yaml"
    config.write_text(f"catalog: {{url: 'sqlite:///{tmp_path}/catalog.sqlite3'}}\n")
    (tmp_path / "policies").mkdir()
    assert await sweepd.here("--config", str(config), "check") == Exit.OK
    assert await sweepd.here("--config", str(config), "tasks") == Exit.SERVER


async def test_what_needs_a_server_says_so(sweepd: Sweepd) -> None:
    for command in (["jobs"], ["delete", "--yes", "--async", TASK], ["delete", "--yes", "--no-wait", TASK]):
        assert await sweepd.here(*command) == Exit.USAGE
        assert "--server URL" in sweepd.err


async def test_the_policies_of_the_files_without_a_server(sweepd: Sweepd, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "one.yaml").write_text(
        "version: 1\npolicies: [{name: old, match: {status: completed}, schedule: {every: 6h},"
        " action: {delete: directory}}]\n"
    )
    (tmp_path / "config.yaml").write_text(f"catalog: {{url: 'sqlite:///{tmp_path}/catalog.sqlite3'}}\n")
    assert await sweepd.here("--config", str(tmp_path / "config.yaml"), "policies") == Exit.OK
    assert sweepd.out.splitlines()[1] == "old\tobserve\tevery 6h\t-"
