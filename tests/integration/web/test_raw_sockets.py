"""What no decent client sends, byte by byte: refused or timed out, the connection closed, nothing deleted."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from contextlib import suppress
from typing import Any

import pytest

from daemon.deletion.models import Outcome, Request
from daemon.web import body as body_reader
from daemon.web.addresses import TASKS
from daemon.web.connections import Limits
from integration.web.installation import Api, Installation, serving

TASK = "task_20250702_173932"
ALIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
BODY = b'{"confirm": true}'
LINE = b"DELETE " + TASKS.encode() + b"/" + TASK.encode() + b" HTTP/1.1\r\n"
TYPE = b"Content-Type: application/json\r\n"
LENGTH = b"Content-Length: 17\r\n"
HOST = b"Host: localhost\r\n"
WHOLE = LINE + HOST + TYPE + LENGTH + b"\r\n" + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"11\r\n" + BODY + b"\r\n0\r\n\r\n"
# a second request, for whoever mistakes where the first one ends
SMUGGLED = WHOLE

CORPUS = {
    "length-and-chunked": LINE + HOST + TYPE + LENGTH + CHUNKED + b"\r\n" + CHUNKS,
    "chunked-and-length": LINE + HOST + TYPE + CHUNKED + LENGTH + b"\r\n" + CHUNKS,
    "length-zero-and-chunked": LINE + HOST + TYPE + b"Content-Length: 0\r\n" + CHUNKED + b"\r\n" + CHUNKS,
    "two-lengths": LINE + HOST + TYPE + LENGTH + b"Content-Length: 18\r\n\r\n" + BODY,
    "two-equal-lengths": LINE + HOST + TYPE + LENGTH + LENGTH + b"\r\n" + BODY,
    "list-of-lengths": LINE + HOST + TYPE + b"Content-Length: 17, 17\r\n\r\n" + BODY,
    "signed-length": LINE + HOST + TYPE + b"Content-Length: +17\r\n\r\n" + BODY,
    "negative-length": LINE + HOST + TYPE + b"Content-Length: -17\r\n\r\n" + BODY,
    "hexadecimal-length": LINE + HOST + TYPE + b"Content-Length: 0x11\r\n\r\n" + BODY,
    "length-with-space": LINE + HOST + TYPE + b"Content-Length: 1 7\r\n\r\n" + BODY,
    "length-of-2-to-the-64": LINE + HOST + TYPE + b"Content-Length: 18446744073709551633\r\n\r\n" + BODY,
    "two-hosts": LINE + HOST + b"Host: evil.example\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "two-equal-hosts": LINE + HOST + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "no-host": LINE + TYPE + LENGTH + b"\r\n" + BODY,
    "foreign-host": WHOLE.replace(b"localhost", b"evil.example"),
    "absolute-foreign": WHOLE.replace(b"DELETE /", b"DELETE http://evil.example/", 1),
    "absolute-foreign-with-user": WHOLE.replace(b"DELETE /", b"DELETE http://localhost@evil.example/", 1),
    "authority": WHOLE.replace(b"DELETE /", b"DELETE localhost:8084/", 1),
    "bare-lf": WHOLE.replace(b"\r\n", b"\n"),
    "bare-lf-in-a-header": LINE + HOST + b"X: a\nY: b\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "bare-cr-in-a-header": LINE + HOST + b"X: a\rY: b\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "bare-lf-at-the-end": LINE + HOST + TYPE + LENGTH + b"\n" + BODY,
    "obs-fold": LINE + HOST + b"X: a\r\n b\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "obs-fold-of-the-host": LINE + b"Host: localhost\r\n .evil.example\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "obs-fold-first": LINE + b" " + HOST + TYPE + LENGTH + b"\r\n" + BODY,
    "nul-in-a-header": LINE + HOST + b"X: a\x00b\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "nul-in-a-name": LINE + HOST + b"X\x00: a\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "space-before-colon": LINE + HOST + b"Content-Length : 17\r\n" + TYPE + b"\r\n" + BODY,
    "no-colon": LINE + HOST + b"Nonsense\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "empty-name": LINE + HOST + b": a\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "chunked-twice": LINE + HOST + TYPE + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
    "chunked-not-last": LINE + HOST + TYPE + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
    "unknown-coding": LINE + HOST + TYPE + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
    "coding-with-tab": LINE + HOST + TYPE + b"Transfer-Encoding:\x0bchunked\r\n\r\n" + CHUNKS,
    "chunk-size-not-hexadecimal": LINE + HOST + TYPE + CHUNKED + b"\r\nxx\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk-size-signed": LINE + HOST + TYPE + CHUNKED + b"\r\n+11\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk-size-too-large": LINE + HOST + TYPE + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk-too-long": LINE + HOST + TYPE + CHUNKED + b"\r\n10\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunk-bare-lf": LINE + HOST + TYPE + CHUNKED + b"\r\n11\n" + BODY + b"\n0\n\n",
    "trailers-of-the-next-request": LINE + HOST + TYPE + CHUNKED + b"\r\n" + CHUNKS[:-2] + HOST + LENGTH + b"\r\n",
    "http-0.9": b"DELETE " + TASKS.encode() + b"/" + TASK.encode() + b"\r\n\r\n",
    "http-2-preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version-2": WHOLE.replace(b"HTTP/1.1", b"HTTP/2.0"),
    "version-1.10": WHOLE.replace(b"HTTP/1.1", b"HTTP/1.10"),
    "lower-case-method": WHOLE.replace(b"DELETE", b"delete", 1),
    "long-header": LINE + HOST + b"X: " + b"x" * 10_000_000 + b"\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "many-headers": LINE + HOST + b"X: x\r\n" * 1_000_000 + TYPE + LENGTH + b"\r\n" + BODY,
    "long-name": LINE + HOST + b"x" * 10_000_000 + b": x\r\n" + TYPE + LENGTH + b"\r\n" + BODY,
    "long-target": WHOLE.replace(TASK.encode(), b"x" * 10_000_000, 1),
    "long-method": b"D" * 1_000_000 + WHOLE,
    "connect": WHOLE.replace(b"DELETE /", b"CONNECT /", 1),
    "length-in-connection-and-smuggled": LINE + HOST + TYPE + b"Content-Length: 0, 17\r\n\r\n" + SMUGGLED,
}


async def received(port: int, data: bytes, *, patience: float = 8) -> bytes:
    """Everything that comes back until the server closes the connection, though the client keeps it open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(patience):
            with suppress(ConnectionError):  # refused before it was whole
                writer.write(data)
                await writer.drain()
            with suppress(ConnectionError):
                while part := await reader.read(65_536):
                    answer += part
    except TimeoutError:
        return b"still open after: " + answer
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return answer


async def test_ambiguous_or_broken_requests_are_refused_and_their_connection_closed(
    api: Api, installation: Installation
) -> None:
    installation.task(TASK, 10)
    before = installation.everything()
    wrong = {}
    for name, data in CORPUS.items():
        answer = await received(api.port, data)
        # nothing at all: it was reset while the client was still sending
        refused = not answer or re.match(rb"HTTP/(0.9|1.0|1.1|2.0) (400|403|404) ", answer)
        if not refused or answer.count(b"HTTP/") > 1 or installation.everything() != before:
            wrong[name] = answer[:40]
    assert wrong == {}
    # an ordinary trailer is ordinary HTTP/1.1
    trailer = LINE + HOST + TYPE + CHUNKED + b"Connection: close\r\n\r\n" + CHUNKS[:-2] + b"X-Note: a\r\n\r\n"
    assert (await received(api.port, trailer)).startswith(b"HTTP/1.1 200 ")
    assert installation.tree() == set()


@pytest.mark.parametrize(
    "begin", [b"", b"D", LINE, LINE + HOST + b"X: "], ids=["nothing", "a-letter", "a-line", "a-header"]
)
async def test_a_head_that_does_not_arrive_is_not_waited_for(installation: Installation, begin: bytes) -> None:
    async with serving(installation, limits=Limits(head_s=0.2)) as api:
        assert await received(api.port, begin) == b""
        assert closed(api, "slow_head") == 1


async def test_a_head_one_byte_at_a_time_is_not_waited_for(installation: Installation) -> None:
    installation.task(TASK, 10)
    async with serving(installation, limits=Limits(head_s=0.5)) as api:
        ended = await trickle(api.port, WHOLE, 0.05)
        assert ended < len(WHOLE) / 2
        assert closed(api, "slow_head") == 1
    assert installation.journal() == []


async def test_a_second_head_one_byte_at_a_time_is_not_waited_for(installation: Installation) -> None:
    """On a connection that has been served before."""
    installation.task(TASK, 10)
    async with serving(installation, limits=Limits(head_s=0.5)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.6)  # longer than a head may take: between requests that is no matter
        with suppress(ConnectionError):
            for byte in WHOLE:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        assert closed(api, "slow_head") == 1
    assert installation.journal() == []


async def test_a_body_one_byte_at_a_time_is_not_waited_for(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_reader, "BODY_TIMEOUT_S", 0.3)
    installation.task(TASK, 10)
    async with serving(installation) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        head, _, body = WHOLE.partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        answer = asyncio.create_task(reader.read())
        with suppress(ConnectionError):
            for byte in body[:-1] + b" " * 200:
                if answer.done():
                    break
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.1)
        assert (await answer).startswith(b"HTTP/1.1 408 ")
        writer.close()
    assert installation.journal() == []


async def test_an_answer_that_is_not_taken_is_not_waited_for(installation: Installation) -> None:
    for number in range(150):
        installation.row(f"task_{number}", task_name="x" * 1000)
    async with serving(installation, limits=Limits(write_s=0.3)) as api:
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port, limit=1024)
        for _ in range(30):
            writer.write(f"GET {TASKS}?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(20):
            while closed(api, "slow_reader") == 0:
                await asyncio.sleep(0.05)
        del reader
        writer.transport.abort()
        assert (await api.ask("GET", "/livez")).status == 200


async def test_a_flood_of_half_open_connections_starves_nobody(installation: Installation, events: list[Any]) -> None:
    """Far more than there may be: the oldest of them make room, and whoever has something to say is heard."""
    installation.task(TASK, 10)
    async with serving(installation, limits=Limits(connections=40)) as api:
        flood = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(200)]
        for number, (_, writer) in enumerate(flood):
            writer.write((b"", b"DELETE /", LINE + HOST, LINE + HOST + TYPE + LENGTH + b"\r\n{")[number % 4])
        slowest = 0.0
        for _ in range(20):
            began = time.perf_counter()
            assert (await received(api.port, ALIVE)).startswith(b"HTTP/1.1 200 ")
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 5
        assert closed(api, "too_many") >= 150
        assert not [event for event in events if event["log_level"] == "error"]
        assert (await api.delete(TASK)).status == 200
        for _, writer in flood:
            writer.transport.abort()


async def test_a_request_at_work_is_not_what_makes_room(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.task(TASK, 10)
    async with serving(installation, limits=Limits(connections=8)) as api:
        begun, go_on = threading.Event(), threading.Event()
        delete = api.context.engine.delete

        def slowly(request: Request) -> Outcome:
            begun.set()
            assert go_on.wait(20)
            return delete(request)

        monkeypatch.setattr(api.context.engine, "delete", slowly)
        asking = asyncio.create_task(received(api.port, WHOLE.replace(TYPE, TYPE + b"Connection: close\r\n")))
        await asyncio.to_thread(begun.wait, 20)
        flood = [await asyncio.open_connection("127.0.0.1", api.port) for _ in range(50)]
        assert (await received(api.port, ALIVE)).startswith(b"HTTP/1.1 200 ")
        go_on.set()
        assert (await asking).startswith(b"HTTP/1.1 200 ")
        for _, writer in flood:
            writer.transport.abort()


async def trickle(port: int, data: bytes, pause_s: float) -> int:
    """Send it byte by byte; how many went before the server closed the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    ended = asyncio.create_task(reader.read())
    number = 0
    with suppress(ConnectionError):
        for number, byte in enumerate(data):  # noqa: B007
            if ended.done():
                break
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause_s)
    with suppress(ConnectionError):
        assert await ended == b""
    writer.close()
    return number


def closed(api: Api, reason: str) -> float:
    value = api.context.metrics.registry.get_sample_value("sweepd_connections_closed_total", {"reason": reason})
    return value or 0.0
