"""Webhooks in the configuration: what is refused, in which words, and that nothing secret is shown."""

from __future__ import annotations

import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.config import Config, load_config
from daemon.errors import DocumentError
from daemon.webhooks import USUAL, Subject, loopback

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CANARY = "T0canary0B1"
HOOK = f"{{name: ops, url: 'https://hooks.example.org/services/{CANARY}', secret: {SECRET}}}"


def load(folder: Path, text: str) -> Config:
    file = folder / "config.yaml"
    file.write_text(f"notifications: {text}\n", encoding="utf-8")
    return load_config(file, environ={})


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(DocumentError) as caught:
        load(folder, text)
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert CANARY not in told
    assert SECRET not in told
    return str(caught.value).replace(f"{folder}/config.yaml:", "")


def hook(**changes: Any) -> str:
    values = {"name": "ops", "url": "https://hooks.example.org/x", "secret": SECRET, **changes}
    return "{webhooks: [{" + ", ".join(f"{key}: {value}" for key, value in values.items()) + "}]}"


def test_nobody_is_told_unless_somebody_is_named(tmp_path: Path) -> None:
    config = load(tmp_path, "{}").notifications
    assert config.webhooks == ()
    assert (config.window, config.patience) == (timedelta(minutes=1), timedelta(minutes=5))


def test_one_hears_of_everything_but_every_sweep_and_its_address_is_a_secret(tmp_path: Path) -> None:
    (webhook,) = load(tmp_path, f"{{webhooks: [{HOOK}]}}").notifications.webhooks
    assert webhook.events == USUAL
    assert Subject.SWEEPS not in USUAL
    assert webhook.where == "https://hooks.example.org"
    assert CANARY not in repr(webhook)
    assert SECRET not in repr(webhook)


def test_a_file_of_authorities_begins_at_the_configuration(tmp_path: Path) -> None:
    (webhook,) = load(tmp_path, hook(ca_file="ca.pem")).notifications.webhooks
    assert webhook.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "http://localhost/x", "http://[::1]:80/x", "https://h/x?a=b"])
def test_an_address_that_is_taken(tmp_path: Path, url: str) -> None:
    (webhook,) = load(tmp_path, hook(url=f"'{url}'")).notifications.webhooks
    assert webhook.url.get_secret_value() == url


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": f"'http://hooks.example.org/{CANARY}'"}, "everybody on the way could read it: write https://"),
        ({"url": f"'https://u:{CANARY}@hooks.example.org/'"}, "no user or password in an address"),
        ({"url": f"'https://{CANARY}@hooks.example.org/'"}, "no user or password in an address"),
        ({"url": f"'ftp://hooks.example.org/{CANARY}'"}, "has to be an address such as https://"),
        ({"url": f"'https:///{CANARY}'"}, "has to be an address such as https://"),
        ({"url": f"'https://hooks.example.org/{CANARY} x'"}, "has to be an address such as https://"),
        ({"url": f"'https://[::1/{CANARY}'"}, "not an address: write one such as https://"),
        ({"url": f"'https://h:99999/{CANARY}'"}, "not an address: write one such as https://"),
        ({"url": f"'https://h/#{CANARY}'"}, "an address has no fragment here"),
        ({"secret": "whsec_dG9vIHNob3J0"}, "a secret is whsec_ and 24 to 64 bytes in base64: make one with: echo"),
        ({"secret": f"{CANARY}{CANARY}{CANARY}"}, "a secret is whsec_ and 24 to 64 bytes in base64"),
        ({"secret": "'whsec_*!'"}, "a secret is whsec_ and 24 to 64 bytes in base64"),
        ({"secret": "[]"}, "must not be empty: make one with"),
        ({"events": "[]"}, "name at least one of failures, limits"),
        ({"events": "[failure]"}, "did you mean `failures`?"),
        ({"name": "Ops"}, "a name is 1 to 63 of a-z, 0-9 and `-`"),
        ({"format": "teams"}, "standard"),
        ({"ca_file": "''"}, "must not be empty"),
    ],
)
def test_a_webhook_that_is_refused(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    assert words in refusal(tmp_path, hook(**changes))


def test_only_a_chat_needs_no_secret(tmp_path: Path) -> None:
    bare = "name: ops, url: 'https://hooks.example.org/x'"
    assert "a receiver cannot know who sends without a `secret`" in refusal(tmp_path, f"{{webhooks: [{{{bare}}}]}}")
    (webhook,) = load(tmp_path, f"{{webhooks: [{{{bare}, format: slack}}]}}").notifications.webhooks
    assert webhook.secret is None


def test_of_several_secrets_the_wrong_one_is_named(tmp_path: Path) -> None:
    text = hook(secret=f"[{SECRET}, short]")
    column = f"notifications: {text}".index("short") + 1
    assert refusal(tmp_path, text).startswith(f"1:{column}: `secret`: a secret is whsec_")


def test_a_second_webhook_of_one_name(tmp_path: Path) -> None:
    assert "a second webhook `ops`: choose another name" in refusal(tmp_path, f"{{webhooks: [{HOOK}, {HOOK}]}}")


def test_a_window_of_hours_is_refused(tmp_path: Path) -> None:
    assert "write 1h or less" in refusal(tmp_path, "{window: 2h}")


@pytest.mark.parametrize(("host", "expected"), [("localhost", True), ("127.9.9.9", True), ("::1", True), ("h", False)])
def test_what_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert loopback(host) == expected
