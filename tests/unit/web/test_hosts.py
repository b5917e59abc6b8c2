"""Host names: which are the daemon's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.web.hosts import HostRule

RULE = HostRule("192.0.2.7", ("Sweepd.Example.org", "fe80::1", "[2001:DB8::0:2]", "other.example.org:8443"))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost:8084",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[::1]",
        "[0:0:0:0:0:0:0:1]:8084",
        "192.0.2.7:8084",
        "sweepd.example.org",
        "SWEEPD.example.ORG:1",
        "[fe80::1]",
        "[2001:db8::2]:80",
        "other.example.org",
        "other.example.org:1",
    ],
)
def test_known(host: str) -> None:
    assert RULE.allows([host], "/path")


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "evil.example",
        "localhost.evil.example",
        "evil.example:localhost",
        "localhost@evil.example",
        "evil@localhost",
        "localhost:80:80",
        "localhost:port",
        "localhost:123456",
        "localhost ",
        "localhost\n",
        "localhost/",
        "localhost,evil.example",
        "::1",
        "[::1",
        "::1]",
        "[localhost]",
        "127.1",
        "0",
        "0.0.0.0",
        "[::]",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "localhost.",
        "192.0.2.8",
        "*",
        "ｌocalhost",
    ],
)
def test_unknown(host: str) -> None:
    assert not RULE.allows([host], "/path")


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_exactly_one_header(hosts: list[str]) -> None:
    assert not RULE.allows(hosts, "/path")


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("/", True),
        ("*", True),
        ("//evil.example/path", True),  # a path like any other: no route begins with two slashes
        ("http://localhost/path", True),
        ("https://[::1]:8084", True),
        ("HTTP://Sweepd.Example.Org?x", True),
        ("http://evil.example/path", False),
        ("http://evil.example#@localhost/", False),
        ("http://localhost@evil.example/", False),
        ("http://evil@localhost/", False),
        ("http:///path", False),
        ("http:localhost", False),
        ("localhost:80", False),
        ("", False),
    ],
)
def test_the_target_counts_as_well(target: str, allowed: bool) -> None:
    assert RULE.allows(["localhost"], target) is allowed


@pytest.mark.parametrize("listening", ["0.0.0.0", "::", "[::]"])
def test_listening_everywhere_names_nobody(listening: str) -> None:
    rule = HostRule(listening, ())
    assert rule.allows(["localhost"], "/")
    assert not rule.allows([listening], "/")
    assert not rule.allows(["0.0.0.0"], "/")
    assert not rule.allows(["[::]"], "/")


@given(st.text())
def test_no_text_is_let_in_by_accident(host: str) -> None:
    names = {"localhost", "127.0.0.1", "[::1]", "192.0.2.7", "sweepd.example.org", "other.example.org"}
    if RULE.allows([host], "/"):
        assert host.lower().rpartition(":")[0] in names or host.lower() in names
