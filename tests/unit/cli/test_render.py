"""Tables and lines as a terminal of some width, and as a pipe gets them."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from daemon.cli import render

ID = "task_20261201_" + "x" * 50
DELETION = "0123456789abcdef0123456789ab"
COLUMNS = ("deletion", "task", "what", "size", "deleted", "by", "because")
ROW = (DELETION, ID, "directory", "1.2 MB", "2026-12-01 11:30 +08:00", "policy:old", "completed 40d ago " * 6)


def shown(monkeypatch: pytest.MonkeyPatch, width: int, columns: tuple[str, ...], *rows: tuple[str, ...]) -> list[str]:
    out = io.StringIO()
    monkeypatch.setattr(render, "console", Console(file=out, force_terminal=True, width=width, color_system=None))
    render.table(columns, rows, right=frozenset({"size"}))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 120, 400])
def test_no_id_date_or_number_is_cut_at_any_width(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = shown(monkeypatch, width, COLUMNS, ROW, ROW)
    for cell in ROW[:-1]:
        assert sum(cell in line for line in lines) >= 2, cell
    assert " ".join(" ".join(lines).split()).count("completed 40d ago") >= 6


def test_lines_stay_within_the_terminal_if_the_ids_do(monkeypatch: pytest.MonkeyPatch) -> None:
    assert max(map(len, shown(monkeypatch, 80, COLUMNS, ROW))) <= 80


def test_what_fits_is_one_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 80, ("goes", "size"), ("a", "1 B"), ("bb", "10 B")) == [
        "goes  size",
        "a      1 B",
        "bb    10 B",
    ]


def test_a_row_cannot_forge_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = ("task", "x\nforged\t\x1b[2J\u202e[bold]")
    assert shown(monkeypatch, 80, ("task", "name"), hostile)[1] == r"task  x\nforged\t\x1b[2J\u202e[bold]"


def test_a_pipe_gets_one_escaped_line_a_row_and_no_wrapping(capsys: pytest.CaptureFixture[str]) -> None:
    render.table(("task", "name"), [("task", "x\nforged\tb\\n\x1b"), ("task", "y" * 500)])
    assert capsys.readouterr().out == "task\tname\ntask\tx\\nforged\\tb\\\\n\\x1b\ntask\t" + "y" * 500 + "\n"


def test_a_long_line_is_left_to_the_terminal_to_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(render, "console", Console(file=out, force_terminal=True, width=40, color_system=None))
    render.say(f"sweepd restore {ID}\nforged")
    assert out.getvalue() == f"sweepd restore {ID}\\nforged\n"
