"""Only what names a task directory and nothing else gets past the door."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import ErrorCode, TaskRefused
from daemon.storage.names import check_task_id, is_task_id


@pytest.mark.parametrize(
    "value",
    ["task_20250702_214530", "manual_20250702_214530", "a", "0", "A.b-c_d", "x" * 128, "a..b", "a-", "CON", "1.tar.gz"],
)
def test_ordinary_ids_pass_unchanged(value: str) -> None:
    assert check_task_id(value) == value


@pytest.mark.parametrize(
    "value",
    [
        *("", ".", "..", "...", ".sweepd", ".hidden", "-rf", "_a", "/", "/etc", "a/b", "../a", "a/..", "a/", "a\\b"),
        *("a\n", "\na", "a\nb", "a\r", "a\0b", "\0", " a", "a ", "a b", "~", "a*", "a?", "%2e%2e", "a:b"),
        *("x" * 129, "x" * 10_000, "任务", "é", "１", "a\u200b", "a\u0301", "\ud800", "\udcff", "٣"),
    ],
    ids=ascii,
)
def test_everything_else_is_refused_without_being_repeated_raw(value: str) -> None:
    with pytest.raises(TaskRefused) as caught:
        check_task_id(value)
    assert caught.value.code is ErrorCode.INVALID_TASK_ID
    message = str(caught.value)
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 250


@given(st.text(st.characters(), max_size=200))
def test_an_accepted_id_is_one_plain_name(value: str) -> None:
    if is_task_id(value):
        assert value.isascii()
        assert value.isprintable()
        assert not set(value) & set("/\\\0 ")
        assert value not in (".", "..", ".sweepd")
        assert 1 <= len(value) <= 128
