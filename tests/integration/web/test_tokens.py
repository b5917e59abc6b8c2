"""Tokens: every address against every kind of token, and the file they live in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from daemon.cli.tokens import Tokens, create, revoke
from daemon.config import ServerConfig
from daemon.errors import DocumentError
from daemon.tokens import Scope, TokenEntry, hash_of
from daemon.web import door
from daemon.web.addresses import TASKS
from daemon.web.application import OPERATIONS
from integration.web.installation import Api, Installation, serving

TASK = "task_20250702_173932"
# What each address needs, and what it answers to a request with nothing in it once it lets one in. An address that is
# not here, or here and not there, fails the test: a new one has to say what it needs.
MATRIX: dict[tuple[str, str], tuple[str | None, int]] = {
    ("DELETE", "/api/v0/data_pipeline/tasks"): ("delete", 400),
    ("GET", "/api/v0/data_pipeline/tasks"): ("read", 200),
    ("DELETE", "/api/v0/data_pipeline/tasks/{task_id}"): ("delete", 400),
    ("POST", "/api/v0/data_pipeline/tasks/{task_id}/restore"): ("admin", 409),
    ("GET", "/api/v0/data_pipeline/tasks/{task_id}/explain"): ("read", 404),
    ("GET", "/api/v0/policies"): ("read", 200),
    ("GET", "/api/v0/policies/{name}/plan"): ("read", 404),
    ("POST", "/api/v0/policies/{name}/plans"): ("delete", 404),
    ("POST", "/api/v0/policies/{name}/sweeps"): ("delete", 404),
    ("GET", "/api/v0/sweeps"): ("read", 200),
    ("GET", "/api/v0/sweeps/{sweep_id}"): ("read", 404),
    ("GET", "/api/v0/data_pipeline/trash"): ("read", 200),
    ("GET", "/api/v0/data_pipeline/purges"): ("read", 200),
    ("GET", "/api/v0/inventory"): ("read", 200),
    ("GET", "/api/v0/holds"): ("read", 200),
    ("POST", "/api/v0/holds"): ("admin", 400),
    ("DELETE", "/api/v0/holds/{hold_id}"): ("admin", 404),
    ("GET", "/api/v0/refusals"): ("admin", 200),
    ("GET", "/api/v0/data_pipeline/tasks/{task_id}"): ("read", 404),
    ("GET", "/api/v0/deletions"): ("read", 200),
    ("GET", "/api/v0/storage"): ("read", 200),
    ("GET", "/api/v0/jobs"): ("read", 200),
    ("GET", "/api/v0/jobs/{job_id}"): ("read", 404),
    ("GET", "/api/v0/jobs/{job_id}/events"): ("read", 404),
    ("DELETE", "/api/v0/jobs/{job_id}"): ("delete", 404),
    ("GET", "/api/v0/openapi.json"): (None, 200),
    ("GET", "/api/v0/docs"): (None, 200),
    ("POST", "/api/v0/reload"): ("admin", 200),
    ("GET", "/livez"): (None, 200),
    ("GET", "/readyz"): (None, 200),
    ("GET", "/metrics"): ("read", 200),
}
SECRETS = {name: f"sweepd_{name}_of_sixteen" for name in ("read", "delete", "admin", "expired", "unknown")}
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


def entry(name: str, *scopes: str, expires: datetime | None = None) -> TokenEntry:
    return TokenEntry(
        name=name,
        hash=hash_of(SECRETS[name].encode()),
        scopes=tuple(Scope(scope) for scope in scopes),
        expires=expires,
    )


ENTRIES = (
    *(entry(scope, scope) for scope in Scope),
    entry("expired", *Scope, expires=LONG_AGO),
)


def bearer(name: str) -> dict[str, str]:
    return {} if name == "none" else {"Authorization": f"Bearer {SECRETS[name]}"}


async def test_every_address_against_every_kind_of_token(installation: Installation) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    async with serving(installation, server=ServerConfig(tokens=ENTRIES)) as api:
        operations = api.runner.app[OPERATIONS]
        assert {(one.method, one.public_path): one.scope for one in operations} == {
            address: scope for address, (scope, _) in MATRIX.items()
        }
        wrong = []
        for (method, path), (scope, allowed) in MATRIX.items():
            for token in ("none", "unknown", "expired", "read", "delete", "admin"):
                if scope is None or token == scope:
                    expected, code = allowed, None
                elif token in ("none", "unknown", "expired"):
                    expected, code = 401, "TOKEN_EXPIRED" if token == "expired" else "UNAUTHORIZED"
                else:
                    expected, code = 403, "INSUFFICIENT_SCOPE"
                url = path.format(
                    task_id="task_nowhere", name="nobody", sweep_id="0" * 28, hold_id="0" * 28, job_id="0" * 28
                )
                body: dict[str, Any] | None = None if method == "GET" else {}
                answer = await api.ask(method, url, headers=bearer(token), json=body)
                if answer.status != expected or (code and answer.body["error_code"] != code):
                    wrong.append((method, path, token, answer.status, expected))
        assert wrong == []
    assert installation.everything() == before


async def test_what_get_answers_changes_nothing(installation: Installation) -> None:
    """Whatever a body says, with all rights there are."""
    installation.task(TASK, 10)
    before = installation.everything()
    async with serving(installation) as api:
        for method, path in MATRIX:
            if method == "GET":
                url = path.format(task_id=TASK, name="nobody", sweep_id="0" * 28, job_id="0" * 28)
                answer = await api.ask("GET", url, json={"confirm": True, "task_ids": [TASK], "force": True})
                assert answer.status in (200, 404), path
    assert installation.everything() == before


@pytest.mark.parametrize(
    ("token", "challenge"),
    [
        ("none", 'Bearer realm="sweepd"'),
        ("unknown", 'Bearer realm="sweepd", error="invalid_token", error_description="unknown or revoked"'),
        ("expired", 'Bearer realm="sweepd", error="invalid_token", error_description="expired"'),
        ("read", 'Bearer realm="sweepd", error="insufficient_scope", scope="delete"'),
    ],
)
async def test_the_challenge_says_what_is_wrong(installation: Installation, token: str, challenge: str) -> None:
    async with serving(installation, server=ServerConfig(tokens=ENTRIES)) as api:
        answer = await api.ask("DELETE", f"{TASKS}/{TASK}", headers=bearer(token), json={"confirm": True})
        assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize("option", ["force", "delete_database_records"])
async def test_records_and_force_need_admin_as_well(installation: Installation, option: str) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    both = TokenEntry(name="both", hash=hash_of(b"sweepd_both_of_sixteen"), scopes=(Scope.DELETE, Scope.ADMIN))
    async with serving(installation, server=ServerConfig(tokens=(*ENTRIES, both))) as api:
        body: dict[str, Any] = {"confirm": True, option: True}
        for path, more in ((f"{TASKS}/{TASK}", {}), (TASKS, {"task_ids": [TASK]})):
            answer = await api.ask("DELETE", path, headers=bearer("delete"), json={**body, **more})
            assert (answer.status, answer.body["data"]) == (403, {"scope": "admin"})
        assert installation.everything() == before
        headers = {"Authorization": "Bearer sweepd_both_of_sixteen"}
        assert (await api.ask("DELETE", f"{TASKS}/{TASK}", headers=headers, json=body)).status == 200


async def test_the_journal_says_whose_token_it_was(installation: Installation) -> None:
    installation.task(TASK, 10)
    installation.task("task_plain", 10)
    plain = SecretStr("a-token-of-its-own-kind")
    async with serving(installation, server=ServerConfig(tokens=(plain, *ENTRIES))) as api:
        done = await api.ask("DELETE", f"{TASKS}/{TASK}", headers=bearer("delete"), json={"confirm": True})
        assert done.status == 200
        headers = {"Authorization": f"Bearer {plain.get_secret_value()}"}
        done = await api.ask("DELETE", f"{TASKS}/task_plain", headers=headers, json={"confirm": True, "force": True})
        assert done.status == 200
    assert [row["initiator"] for row in installation.journal()] == ["api:delete", "api:token-1"]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    monkeypatch.setattr(door, "WATCH_S", 0.05)
    return Tokens(tmp_path / "tokens.yaml")


def made(file: Tokens, name: str, capsys: pytest.CaptureFixture[str], *scopes: Scope) -> str:
    create(file, name, scopes or (Scope.READ,), timedelta(days=1), as_json=False)
    return capsys.readouterr().out.strip()


async def status_of(api: Api, token: str) -> int:
    return (await api.ask("GET", TASKS, headers={"Authorization": f"Bearer {token}"})).status


async def test_tokens_are_made_rotated_and_revoked_while_the_daemon_runs(
    installation: Installation, file: Tokens, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await asyncio.to_thread(made, file, "ci", capsys)
    async with serving(installation, server=ServerConfig(tokens_file=file.path)) as api:
        assert await status_of(api, first) == 200
        second = await asyncio.to_thread(made, file, "ci", capsys)
        await until(api, second, 200)
        assert await status_of(api, first) == 200, "two live at once"
        old, _ = await asyncio.to_thread(file.load)
        await asyncio.to_thread(revoke, file, [old.token_id], as_json=False)
        await until(api, first, 401)
        assert await status_of(api, second) == 200
        await asyncio.to_thread(revoke, file, ["ci"], as_json=False)
        await until(api, second, 401)
        assert (await api.ask("GET", TASKS)).status == 401, "a file without tokens opens nothing"
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert first not in file.path.read_text()


@pytest.mark.parametrize("becomes", ["gone", "broken"])
async def test_a_file_that_cannot_be_read_any_more_opens_nothing(
    installation: Installation, file: Tokens, capsys: pytest.CaptureFixture[str], events: list[Any], becomes: str
) -> None:
    token = await asyncio.to_thread(made, file, "ci", capsys)
    whole = file.path.read_text()
    async with serving(installation, server=ServerConfig(tokens_file=file.path)) as api:
        assert await status_of(api, token) == 200
        file.path.unlink() if becomes == "gone" else file.path.write_text("version: 1\ntokens: [x]\n")
        await until(api, token, 401)
        file.path.write_text(whole)
        await until(api, token, 200)
    problem = next(event for event in events if event["event"] == "tokens_unreadable")
    assert str(file.path) in problem["reason"]


@pytest.mark.parametrize("text", [None, "", "version: 2\n", "version: 1\ntokens: [{name: a}]\n"])
async def test_a_server_does_not_start_with_a_wrong_token_file(
    installation: Installation, file: Tokens, text: str | None
) -> None:
    if text is not None:
        file.path.write_text(text)
    with pytest.raises(DocumentError):
        async with serving(installation, server=ServerConfig(tokens_file=file.path)):
            pass


async def until(api: Api, token: str, status: int) -> None:
    async with asyncio.timeout(10):
        while await status_of(api, token) != status:
            await asyncio.sleep(0.02)
