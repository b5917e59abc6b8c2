"""What of a text reaches a terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.visible import field, in_json, visible

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x1b[31m\x9b2J\x7f", r"\x1b[31m\x9b2J\x7f"),
        ("a\u202eb\u2066c\u2028d\u2029e\u200f", r"a\u202eb\u2066c\u2028d\u2029e\u200f"),
        ("caf\udce9 \ud800", r"caf\udce9 \ud800"),
        ("测试\u3000任务 é 👩\u200d💻 C:\\x", "测试\u3000任务 é 👩\u200d💻 C:\\x"),
    ],
)
def test_what_a_terminal_acts_on_is_escaped_and_nothing_else(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(ANY_TEXT)
def test_nothing_that_acts_is_left(text: str) -> None:
    for escaped in (visible(text), field(text), in_json(json.dumps(text, ensure_ascii=False))):
        assert not [c for c in escaped if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]
        assert not set(escaped) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
        escaped.encode()


@given(ANY_TEXT)
def test_a_field_and_json_can_be_read_back(text: str) -> None:
    plain = field(text).encode("ascii", "backslashreplace").decode("unicode_escape")
    assert plain == text
    found = json.loads(in_json(json.dumps(text, ensure_ascii=False)))
    assert found.encode("utf-16", "surrogatepass") == text.encode("utf-16", "surrogatepass")
