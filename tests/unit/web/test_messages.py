"""Two languages for everything, and which of them a client gets."""

from __future__ import annotations

import string

import pytest

from daemon.errors import ErrorCode
from daemon.web.errors import RULES, ApiCode, ApiError
from daemon.web.hints import HINTS
from daemon.web.messages import MESSAGES, Language, Message, preferred, text


def names(template: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


@pytest.mark.parametrize("key", MESSAGES)
def test_each_message_is_there_in_both_languages(key: str) -> None:
    message = MESSAGES[key]
    assert message.zh.strip()
    assert message.en.strip()
    assert any("\u4e00" <= char <= "\u9fff" for char in message.zh)
    assert message.en.isascii()
    assert names(message.zh) == names(message.en)


@pytest.mark.parametrize("code", RULES)
def test_each_error_has_a_message(code: str) -> None:
    assert code in MESSAGES


def test_each_error_says_what_to_do_next_and_no_hint_is_left_over() -> None:
    assert set(HINTS) == set(RULES)


@pytest.mark.parametrize("code", HINTS)
def test_each_hint_is_there_in_both_languages(code: str) -> None:
    hint, message = HINTS[code], MESSAGES[code]
    assert any("\u4e00" <= char <= "\u9fff" for char in hint.zh)
    assert hint.en.strip()
    assert hint.en.isascii()
    assert names(hint.zh) == names(hint.en)
    assert names(hint.en) <= names(message.en)  # they are filled from the same values
    assert hint != message


def test_a_hint_comes_in_the_clients_language() -> None:
    error = ApiError(ApiCode.INSUFFICIENT_SCOPE, values={"scope": "admin"})
    assert error.hint(Language.CHINESE) == "请向管理员索取有 admin 权限的令牌"
    assert error.hint(Language.ENGLISH) == "Ask the operator for a token with the scope admin"
    held = ApiError(ErrorCode.TASK_HELD)
    assert held.hint(Language.ENGLISH).endswith("DELETE /api/v0/holds/{hold_id} releases it")
    known = ApiError(ErrorCode.TASK_HELD, data={"hold_id": "01a2"})
    assert known.hint(Language.ENGLISH).endswith("DELETE /api/v0/holds/01a2 releases it")
    ended = ApiError(ErrorCode.JOB_ENDED, data={"job_id": "01a3"})
    assert "GET /api/v0/jobs/01a3" in ended.hint(Language.CHINESE)


def test_each_api_code_has_a_status() -> None:
    assert set(ApiCode) <= set(RULES)


def test_the_contracts_strings_letter_for_letter() -> None:
    assert {key: MESSAGES[key].zh for key in ("TASK_DELETED", "BATCH_COMPLETE", "BATCH_PARTIAL", "TASK_RUNNING")} == {
        "TASK_DELETED": "任务目录删除成功",
        "BATCH_COMPLETE": "批量删除完成",
        "BATCH_PARTIAL": "批量删除部分完成",
        "TASK_RUNNING": "任务正在运行中,无法删除",
    }
    assert text(ErrorCode.TASK_NOT_FOUND, Language.CHINESE, task_id="task_invalid_id") == "任务不存在: task_invalid_id"
    assert text(ApiCode.MISSING_PARAMETER, Language.CHINESE, parameters="confirm") == "缺少必需参数: confirm"


def test_values_are_never_read_as_templates() -> None:
    assert Message("{a}", "{a}").fill(Language.ENGLISH, {"a": "{b}"}) == "{b}"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", Language.CHINESE),
        ("*", Language.CHINESE),
        ("fr", Language.CHINESE),
        ("en", Language.ENGLISH),
        ("EN-us", Language.ENGLISH),
        ("en-US,en;q=0.9", Language.ENGLISH),
        ("zh-CN,zh;q=0.9,en;q=0.8", Language.CHINESE),
        ("en;q=0.8,zh;q=0.9", Language.CHINESE),
        ("en;q=0.9, zh;q=0.8", Language.ENGLISH),
        ("en,zh", Language.CHINESE),
        ("en;q=0", Language.CHINESE),
        ("en;q=0,zh;q=0", Language.CHINESE),
        ("fr,en;q=0.1", Language.ENGLISH),
        ("*;q=0.5,en;q=0.4", Language.CHINESE),
        ("*;q=0.4, en;q=0.5", Language.ENGLISH),
        ("*,zh;q=0.5", Language.ENGLISH),
        ("zh;q=0,*", Language.ENGLISH),
        ("en;q=1.001,zh;q=0.1", Language.CHINESE),
        ("en;q=nan", Language.CHINESE),
        ("en ; q=1", Language.ENGLISH),
        ("english", Language.CHINESE),
        (";;;,,,;q=1", Language.CHINESE),
    ],
)
def test_the_language_a_header_asks_for(header: str, language: Language) -> None:
    assert preferred(header) is language
