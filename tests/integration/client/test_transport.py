"""What the client does when a server or the way to it misbehaves."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from daemon.client import (
    ApiError,
    BadName,
    BadSetting,
    Client,
    ClientError,
    Conflict,
    Failed,
    Forbidden,
    InvalidRequest,
    NotFound,
    TimedOut,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    jobs,
)
from support.receiver import CERTIFICATE
from support.scripted import HANG_UP, SILENCE, answer, done, refused, scripted

POLICIES = done({"policies": []})
SOON = {"Retry_After": "0"}
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
ONE_AND_TWO, THREE = [{"task_id": "task_1"}, {"task_id": "task_2"}], {"task_id": "task_3"}
RUNNING = done({"job_id": "1", "state": "running"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.client.transport._PAUSE_S", 0.001)
    monkeypatch.setattr("daemon.client.jobs._AGAIN_S", 0.001)
    monkeypatch.delenv("SWEEPD_TOKEN", raising=False)


@pytest.mark.parametrize(
    "trouble", [HANG_UP, refused(503, "STARTING", **SOON), refused(429, "TOO_MANY_REQUESTS", **SOON)]
)
def test_a_get_is_tried_again(trouble: bytes) -> None:
    with scripted(trouble, trouble, trouble, POLICIES) as server, Client(server.url) as client:
        assert client.policies() == {"policies": []}
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "options", [{"token": "a b"}, {"language": "fr"}, {"verify": "/nowhere.pem"}, {"verify": __file__}], ids=str
)
def test_what_cannot_be_is_told_when_the_client_is_made(options: dict[str, Any]) -> None:
    """Else a file that is not there would look as if the daemon were not."""
    with pytest.raises(ClientError) as caught:
        Client("https://127.0.0.1:1", **options)
    assert isinstance(caught.value, BadSetting)
    assert "is the daemon running" not in str(caught.value)


@pytest.mark.parametrize("verify", [str(CERTIFICATE), str(CERTIFICATE.parent)], ids=["file", "directory"])
def test_authorities_that_can_be_read_are_taken(verify: str) -> None:
    with Client("https://127.0.0.1:1", verify=verify, retries=0) as client, pytest.raises(Unreachable):
        client.live()


def test_it_is_tried_again_so_often_and_no_more() -> None:
    with scripted(*[HANG_UP] * 9) as server, Client(server.url, retries=2) as client:
        with pytest.raises(Unreachable):
            client.policies()
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.delete("task_1"),
        lambda client: client.delete_many(["task_1"]),
        lambda client: client.delete_async("task_1"),
        lambda client: client.restore("task_1"),
    ],
    ids=["delete", "delete_many", "delete_async", "restore"],
)
def test_a_deletion_is_repeated_under_the_same_key(ask: Callable[[Client], object]) -> None:
    in_use = refused(409, "IDEMPOTENCY_KEY_IN_USE", Retry_After="0")
    answers = [HANG_UP, refused(503, "SHUTTING_DOWN", **SOON), in_use, done({})]
    with scripted(*answers) as server, Client(server.url) as client:
        ask(client)
        ask_again = [request.headers["idempotency-key"] for request in server.requests]
    assert len(ask_again) == 4
    assert len(set(ask_again)) == 1
    assert len({request.body for request in server.requests}) == 1


def test_another_deletion_has_another_key_and_ones_own_is_kept() -> None:
    with scripted(done({}), done({}), done({})) as server, Client(server.url) as client:
        client.delete("task_1")
        client.delete("task_1")
        client.delete("task_1", key="mine")
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert len(set(keys)) == 3
    assert keys[2] == "mine"


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.sweep("policy"),
        lambda client: client.store_plan("policy"),
        lambda client: client.hold("task_1", reason="an audit"),
        lambda client: client.release("1"),
        lambda client: client.cancel("1"),
    ],
    ids=["sweep", "store_plan", "hold", "release", "cancel"],
)
@pytest.mark.parametrize("trouble", [HANG_UP, refused(503, "STARTING", **SOON)], ids=["cut", "503"])
def test_what_is_not_safe_to_repeat_is_sent_once(ask: Callable[[Client], object], trouble: bytes) -> None:
    with scripted(trouble, done({})) as server, Client(server.url) as client:
        with pytest.raises((Unreachable, Unavailable)):
            ask(client)
    assert len(server.requests) == 1


def test_who_is_told_to_wait_long_is_told_so_at_once() -> None:
    with scripted(refused(503, "STARTING", Retry_After="3600"), POLICIES) as server, Client(server.url) as client:
        with pytest.raises(Unavailable) as caught:
            client.policies()
    assert caught.value.retry_after == 3600


def test_retry_after_is_waited_for() -> None:
    with scripted(refused(503, "STARTING", Retry_After="1"), POLICIES) as server, Client(server.url) as client:
        begun = time.monotonic()
        client.policies()
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize(
    ("status", "family"),
    [
        (400, InvalidRequest),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidRequest),
        (429, TooManyRequests),
        (500, Failed),
        (503, Unavailable),
    ],
)
def test_each_family_of_answers_has_its_class(status: int, family: type[ApiError]) -> None:
    body = {
        "success": False,
        "code": status,
        "message": "It cannot be",
        "error_code": "SOME_CODE",
        "hint": "Do this",
        "request_id": "f00",
        "data": {"reason": "the disk is away"},
    }
    with scripted(answer(status, body, Retry_After="7")) as server, Client(server.url, retries=0) as client:
        with pytest.raises(ApiError) as caught:
            client.policies()
    error = caught.value
    assert type(error) is family
    assert (error.status, error.error_code, error.message, error.hint) == (
        status,
        "SOME_CODE",
        "It cannot be",
        "Do this",
    )
    assert (error.request_id, error.data, error.retry_after) == ("f00", {"reason": "the disk is away"}, 7)
    assert str(error) == "It cannot be (the disk is away): Do this"


def test_the_token_never_goes_to_another_host() -> None:
    with scripted(POLICIES) as other:
        redirect = answer(307, {"success": True, "data": {}}, Location=f"{other.url}/api/v0/policies")
        with scripted(redirect) as server, Client(server.url, "a-secret-token") as client:
            with pytest.raises(UnexpectedAnswer):
                client.policies()
        assert other.requests == []
    assert server.requests[0].headers["authorization"] == "Bearer a-secret-token"


def test_neither_proxy_nor_netrc_of_the_environment_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / ".netrc"
    netrc.write_text("machine 127.0.0.1 login alice password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with scripted(POLICIES) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("http_proxy", proxy.url)
        with scripted(POLICIES, POLICIES) as server:
            Client(server.url).policies()
            Client(server.url, "a-secret-token").policies()
        assert proxy.requests == []
    given = [request.headers.get("authorization") for request in server.requests]
    assert given == [None, "Bearer a-secret-token"]


@pytest.mark.parametrize(
    "page", [answer(200, b"<html>"), answer(502, b"<html>Bad gateway"), answer(200, []), answer(200, {"ok": True})]
)
def test_what_is_not_sweepds_is_said_to_be_so(page: bytes) -> None:
    with scripted(page) as server, Client(server.url) as client:
        with pytest.raises(UnexpectedAnswer) as caught:
            client.policies()
    assert server.url in str(caught.value)


def test_an_answer_that_is_cut_off() -> None:
    with scripted(POLICIES[:-5], POLICIES) as server, Client(server.url) as client:
        assert client.policies() == {"policies": []}
    assert len(server.requests) == 2


def test_a_deletion_that_takes_too_long_is_not_repeated() -> None:
    with scripted(SILENCE, done({})) as server, Client(server.url, work_timeout=0.2) as client:
        with pytest.raises(TimedOut) as caught:
            client.delete("task_1")
        assert len(server.requests) == 1
    assert "may go on" in str(caught.value)


def test_nobody_there() -> None:
    with scripted() as server:
        pass
    with pytest.raises(Unreachable) as caught, Client(server.url) as client:
        client.policies()
    assert server.url in str(caught.value)


def test_nobody_at_the_socket(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "api.sock"
    with pytest.raises(Unreachable) as caught, Client(f"unix://{path}") as client:
        client.policies()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_address_is_not_sent(name: str) -> None:
    with scripted() as server, Client(server.url) as client:
        for ask in (client.delete, client.restore, client.release, client.cancel, client.sweep, client.job):
            with pytest.raises(BadName):
                ask(name)
    assert server.requests == []


def test_a_name_with_a_slash_stays_one() -> None:
    with scripted(done({})) as server, Client(server.url) as client:
        client.delete("../tasks?x#y")
    assert server.requests[0].line.split()[1].endswith("/tasks/..%2Ftasks%3Fx%23y")


def test_pages_by_cursor_and_by_offset() -> None:
    by_cursor = [{"tasks": ONE_AND_TWO, "next_cursor": "abc"}, {"tasks": [THREE], "next_cursor": None}]
    with scripted(*map(done, by_cursor)) as server, Client(server.url) as client:
        listed = client.tasks(status=["failed", "completed"], directory_exists=True, page_size=2)
        assert [task["task_id"] for task in listed] == ["task_1", "task_2", "task_3"]
    paths = [request.line.split()[1].partition("?")[2] for request in server.requests]
    filters = "status=failed%2Ccompleted&directory_exists=true&limit=2"
    assert paths == [filters, f"{filters}&cursor=abc"]
    by_offset = [{"tasks": ONE_AND_TWO, "total": 3}, {"tasks": [THREE], "total": 3}]
    with scripted(*map(done, by_offset)) as server, Client(server.url) as client:
        assert [task["task_id"] for task in client.tasks(page_size=2)] == ["task_1", "task_2", "task_3"]
    assert [request.line.split()[1].partition("?")[2] for request in server.requests] == ["limit=2", "limit=2&offset=2"]


def events(*some: tuple[str, str | None, object]) -> bytes:
    text = "".join(f"event: {kind}\n{f'id: {n}' if n else ':'}\ndata: {json.dumps(d)}\n\n" for kind, n, d in some)
    return (STREAM + text).encode()


def test_events_go_on_where_they_were_cut_off() -> None:
    first = events(("task", "1", {"task_id": "a"}), ("progress", None, {"tasks_done": 1}))
    last = events(("task", "2", {"task_id": "b"}), ("end", "3", {"state": "finished"}))
    with scripted(first, HANG_UP, refused(503, "STARTING"), last) as server, Client(server.url) as client:
        found = list(client.events("1"))
    assert [(event.kind, event.id) for event in found] == [
        ("task", "1"),
        ("progress", None),
        ("task", "2"),
        ("end", "3"),
    ]
    assert [request.headers.get("last-event-id") for request in server.requests] == [None, "1", "1", "1"]


def test_events_end_where_the_daemon_has_nothing_left_to_tell() -> None:
    with scripted(answer(204, b"")) as server, Client(server.url) as client:
        assert list(client.events("1", after="7")) == []
    assert server.requests[0].headers["last-event-id"] == "7"


def test_patience_with_events_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "PATIENCE_S", 0.05)
    with scripted(events(("task", "1", {}))) as server, Client(server.url) as client:
        with pytest.raises(Unreachable):
            list(client.events("1"))


def test_events_of_nobody_raise_at_once() -> None:
    with scripted(refused(404, "JOB_NOT_FOUND")) as server, Client(server.url) as client:
        with pytest.raises(NotFound):
            list(client.events("1"))
    with pytest.raises(Unreachable):
        list(Client(server.url).events("1"))


def test_a_job_is_waited_for_while_the_daemon_starts_again() -> None:
    ended = done({"job_id": "1", "state": "finished"})
    answers = [RUNNING, *[refused(503, "STARTING", **SOON)] * 4, HANG_UP, RUNNING, ended]
    with scripted(*answers) as server, Client(server.url, retries=3) as client:
        assert client.wait("1")["state"] == "finished"


def test_a_job_is_waited_for_so_long() -> None:
    with scripted(*[RUNNING] * 50) as server, Client(server.url) as client:
        with pytest.raises(TimedOut) as caught:
            client.wait("1", timeout=0.3)
    assert "it goes on" in str(caught.value)


def test_importing_it_loads_nothing_of_the_daemon_and_no_http_library() -> None:
    code = "import sys, daemon.client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in loaded if name.startswith("daemon.")]
    assert [name for name in ours if not name.startswith("daemon.client")] == []
    assert not {"requests", "urllib3", "pydantic", "aiohttp", "sqlalchemy", "rich"} & set(loaded)


def test_no_thread_is_left_behind() -> None:
    before = threading.active_count()
    with scripted(POLICIES) as server, Client(server.url) as client:
        client.policies()
    assert threading.active_count() == before
