"""Log lines: nothing that a value holds leaves its line, and the journal gets priorities."""

from __future__ import annotations

import io
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from typing import Any, Final

import pytest
import structlog

from daemon import log
from support.logs import logged

_log = log.get("daemon.test")
FORGED: Final = '{"event": "deletion_finished", "level": "info"}'
# a new line by any rule, a terminal's escapes, what turns the direction of text, half of a pair, NUL, a priority
HOSTILE: Final = [
    f"x\n{FORGED}",
    f"x\r\n<0>{FORGED}",
    "x\u2028y",
    "x\u2029y",
    "x\x85y",
    "x\x0b\x0cy",
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "a\u202egnp.exe",
    "half \ud800",
    "nul \x00",
    "bell \x07",
]


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_value_stays_within_its_line(form: log.Format, value: str) -> None:
    with logged("info", form) as stream:
        _log.info("one_thing", task_id=value, task_ids=[value], where={"header": value, value: 1}, error=OSError(value))
        logging.getLogger("elsewhere").warning("it says %s", value)
    lines = stream.getvalue().splitlines()  # by all rules of Unicode
    assert len(lines) == 2
    assert stream.getvalue().replace("\n", "").isprintable()
    assert all(line.isprintable() for line in lines)
    if form == "json":
        first: dict[str, Any] = json.loads(lines[0])
        assert (first["event"], first["task_id"]) == ("one_thing", value)


@pytest.mark.parametrize("value", HOSTILE, ids=ascii)
def test_a_traceback_on_a_terminal_forges_no_line(value: str) -> None:
    with logged("info", "console") as stream:
        try:
            raise ValueError(value)
        except ValueError:
            _log.exception("it_crashed")
    first, *others = stream.getvalue().split("\n")
    assert "it_crashed" in first
    assert all(line.startswith("  ") or line == "" for line in others)
    assert all(line.isprintable() for line in (first, *others))


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.TextIOWrapper]:
    """A stream that this process takes for the journal's."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    with tempfile.TemporaryFile("w+", encoding="utf-8") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before[0], before[1]


def lines_of(stream: io.TextIOWrapper) -> list[str]:
    log.drain(5)
    with open(stream.fileno(), encoding="utf-8", closefd=False) as reading:
        reading.seek(0)
        return reading.read().splitlines()


def test_the_journal_gets_a_priority_with_each_line(journal: io.TextIOWrapper) -> None:
    log.configure("debug", "json", journal)
    _log.debug("a")
    _log.info("b")
    _log.warning("c")
    _log.error("d")
    _log.critical("e")
    logging.getLogger("elsewhere").error("f")
    said = lines_of(journal)
    assert [line[:3] for line in said] == ["<7>", "<6>", "<4>", "<3>", "<2>", "<3>"]
    assert json.loads(said[0][3:])["event"] == "a"


def test_every_line_of_a_traceback_has_its_priority(journal: io.TextIOWrapper) -> None:
    log.configure("debug", "console", journal)
    try:
        raise ValueError("x\n<0>forged")
    except ValueError:
        _log.exception("it_crashed")
    said = lines_of(journal)
    assert len(said) > 3
    assert {line[:3] for line in said} == {"<3>"}


def test_somebody_else_than_the_journal_gets_none(journal: io.TextIOWrapper) -> None:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as other:
        log.configure("debug", "json", other)
        _log.info("a")
        assert lines_of(other)[0].startswith("{")
