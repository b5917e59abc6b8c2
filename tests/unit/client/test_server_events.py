"""Server-sent events, cut anywhere."""

from __future__ import annotations

import pytest

from daemon.client.server_events import Event, parse

STREAM = (
    b": hello\n\nretry: 2000\n\n"
    b'event: task\nid: 1\ndata: {"task_id": "\xe4\xbb\xbb\xe5\x8a\xa1"}\n\n'
    b'event: progress\r\ndata: {"tasks_done":\r\ndata: 1}\r\n\r\n'
    b":\n\n"
    b'id:2\nevent:end\ndata:{}\n\nevent: task\ndata: {"cut'
)
EVENTS = [Event("task", {"task_id": "任务"}, "1"), Event("progress", {"tasks_done": 1}), Event("end", {}, "2")]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_the_events_of_a_stream_however_it_is_cut(size: int) -> None:
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert list(parse(chunks)) == EVENTS


def test_what_is_not_json_is_an_error() -> None:
    with pytest.raises(ValueError):
        list(parse([b"data: no\n\n"]))
