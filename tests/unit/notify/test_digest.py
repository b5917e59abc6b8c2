"""What has happened becomes one message: capped, counted, the worst first, and of no meaning to a chat."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from daemon.catalog.notices import Notice
from daemon.notify.digest import ITEMS, digest, trial
from daemon.notify.notices import LONGEST, Severity, notice
from daemon.webhooks import Subject, Webhook
from support.receiver import SECRET

NOW = datetime(2026, 11, 25, 3, 16, 2, tzinfo=UTC)


def webhook(**options: Any) -> Webhook:
    return Webhook.model_validate({"name": "ops", "url": SecretStr("https://h/x"), "secret": SECRET, **options})


def document(hook: Webhook, *notices: Notice) -> dict[str, Any]:
    message = digest(hook, notices, "/data", NOW)
    assert message is not None
    found: dict[str, Any] = json.loads(message.body)
    return found


def told(text: str, severity: Severity = Severity.INFO, subject: Subject = Subject.ALARMS) -> Notice:
    return notice(subject, "some.thing", severity, text, at=NOW, details={"why": text})


def test_the_worst_first_and_what_is_left_out_is_counted() -> None:
    found = document(webhook(), *(told(f"n{number}") for number in range(ITEMS + 9)), told("bad", Severity.ERROR))
    data = found["data"]
    assert [item["text"] for item in data["items"][:2]] == ["bad", "n0"]
    assert (len(data["items"]), data["total"], data["omitted"]) == (ITEMS, ITEMS + 10, 10)
    assert data["counts"] == {"some.thing": ITEMS + 10}
    assert found["type"] == "sweepd.digest"
    assert found["timestamp"] == "2026-11-25T03:16:02Z"
    assert found["text"].endswith("and 40 more")
    assert len(found["text"].splitlines()) == 22


def test_a_webhook_gets_what_it_asks_for() -> None:
    some = [told("a", subject=Subject.FAILURES), told("b", subject=Subject.SWEEPS)]
    assert [item["text"] for item in document(webhook(), *some)["data"]["items"]] == ["a"]
    assert digest(webhook(events=["limits"]), some, "/data", NOW) is None


def test_a_chat_gets_text_in_which_nothing_has_a_meaning() -> None:
    found = document(webhook(format="slack"), told("task <!channel> & <https://evil|click>\x1b[31m\u2028new line"))
    assert set(found) == {"text"}
    assert found["text"].endswith("task &lt;!channel&gt; &amp; &lt;https://evil|click&gt; [31m new line")


def test_a_notice_is_one_line_of_bounded_length() -> None:
    one = told("a\n b\r\x00\x1b[2J\ud800c" + "x" * 5000)
    assert one.text.startswith("a b [2J cxxx")
    assert len(one.text) == LONGEST
    assert one.text.isprintable()
    json.dumps(json.loads(one.details)).encode("ascii")


def test_messages_have_ids_of_their_own() -> None:
    first, second = trial(webhook(), "/data", NOW), trial(webhook(), "/data", NOW)
    assert first.message_id != second.message_id
    assert json.loads(first.body)["type"] == "sweepd.test"
