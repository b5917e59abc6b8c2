"""One message to a real receiver, well-behaved or not."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from daemon.notify import sending
from daemon.notify.sending import Answer, post
from daemon.webhooks import Webhook
from support.receiver import CERTIFICATE, HANG, RESET, SECRET, Receiver, receiving

OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
CANARY = "T0canary0B1"
BODY = '{"type": "sweepd.test"}'


def webhook(url: str, **options: Any) -> Webhook:
    return Webhook.model_validate({"name": "ops", "url": f"{url}/{CANARY}", "secret": SECRET, **options})


def send(receiver: Receiver, **options: Any) -> Answer:
    answer = post(webhook(receiver.url, **options), "msg_1", BODY)
    assert CANARY not in str(answer.error)
    return answer


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_receiver_takes_it_and_the_signature_is_genuine(status: int) -> None:
    with receiving() as receiver:
        receiver.answer = status
        assert send(receiver) == Answer(None)
    (one,) = receiver.deliveries
    assert one.genuine
    assert (one.message_id, one.body.decode(), one.path) == ("msg_1", BODY, f"/hook/{CANARY}")
    assert one.headers["content-type"] == "application/json"
    assert one.headers["user-agent"].startswith("sweepd/")


def test_either_of_two_secrets_will_do_and_another_one_will_not() -> None:
    with receiving() as receiver:
        send(receiver, secret=[OTHER, SECRET])
        send(receiver, secret=OTHER)
        send(receiver, secret=None, format="slack")
    assert [one.genuine for one in receiver.deliveries] == [True, False, False]
    assert "webhook-signature" not in receiver.deliveries[2].headers


def test_one_that_fails() -> None:
    with receiving() as receiver:
        receiver.answer = 500
        assert send(receiver) == Answer(f"{receiver.url.removesuffix('/hook')} answered 500")
        receiver.answer = (429, {"Retry-After": "17"})
        assert send(receiver).retry_after == 17
        receiver.answer = (503, {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT"})
        assert send(receiver).retry_after == 0
        receiver.answer = (503, {"Retry-After": "soon"})
        assert send(receiver).retry_after is None
        receiver.answer = 410
        assert send(receiver).gone


def test_a_redirect_is_not_followed() -> None:
    with receiving() as elsewhere, receiving() as receiver:
        receiver.answer = (307, {"Location": elsewhere.url})
        assert "redirects are not followed" in str(send(receiver).error)
    assert elsewhere.deliveries == []


def test_one_that_resets_the_connection() -> None:
    with receiving() as receiver:
        receiver.answer = RESET
        assert "no connection: Connection reset by peer" in str(send(receiver).error)


def test_one_that_hangs_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "_ANSWER_S", 0.2)
    with receiving() as receiver:
        receiver.answer = HANG
        began = time.monotonic()
        assert "no answer within" in str(send(receiver).error)
        assert time.monotonic() - began < 5


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert "no connection: Connection refused" in str(post(webhook(f"http://127.0.0.1:{port}"), "m", BODY).error)


def test_https_is_trusted_by_the_authorities_that_are_named() -> None:
    with receiving(tls=True) as receiver:
        assert send(receiver, ca_file=str(CERTIFICATE)) == Answer(None)
        assert "its certificate is not trusted" in str(send(receiver).error)
        assert "see `ca_file`" in str(send(receiver).error)
    assert [one.genuine for one in receiver.deliveries] == [True]


def test_no_proxy_and_no_netrc_for_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with receiving() as receiver:
        assert send(receiver) == Answer(None)
    assert "authorization" not in receiver.deliveries[0].headers
