"""Where the daemon is, and the token for it."""

from __future__ import annotations

import pytest

from daemon.client.address import Address, find_token, parse
from daemon.client.errors import BadSetting


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8084", Address("http://127.0.0.1:8084")),
        ("https://cleanup.example.org/sweepd/", Address("https://cleanup.example.org/sweepd")),
        ("http://[::1]:8084/", Address("http://[::1]:8084")),
        ("unix:///run/sweepd/api.sock", Address("http://localhost", "/run/sweepd/api.sock")),
        ("unix:///run/a%20b", Address("http://localhost", "/run/a b")),
    ],
)
def test_an_address(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:8084", "http://HOST:PORT"),
        ("localhost", "http://HOST:PORT"),
        ("ftp://localhost", "http://HOST:PORT"),
        ("", "http://HOST:PORT"),
        ("http://", "http://HOST:PORT"),
        ("http://localhost:secret", "http://HOST:PORT"),
        ("http://[::1", "http://HOST:PORT"),
        ("unix://run/sweepd.sock", "three slashes"),
        ("unix:///", "three slashes"),
        ("http://alice:secret@localhost", "SWEEPD_TOKEN"),
        ("http://localhost/?a=b", "no query"),
        ("http://localhost/#a", "no query"),
    ],
)
def test_what_is_none_says_what_to_write_instead(url: str, said: str) -> None:
    with pytest.raises(BadSetting) as caught:
        parse(url)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_token_is_the_argument_or_else_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPD_TOKEN", " from-the-environment\n")
    assert find_token("given") == "given"
    assert find_token(None) == "from-the-environment"
    assert find_token("") is None
    monkeypatch.delenv("SWEEPD_TOKEN")
    assert find_token(None) is None


@pytest.mark.parametrize("token", ["secret\r\nHost: evil", "secret two", "s\u00e9cret"])
def test_a_token_that_cannot_be_one_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(BadSetting) as caught:
        find_token(token)
    assert "cret" not in str(caught.value)
