"""Strict YAML: what is refused, where it is said to be, and that nothing else is ever raised."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, SecretStr

from daemon.errors import DocumentError
from daemon.strict_yaml import MAX_BYTES, Mistake, load, parse, read, validate


def problems(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse(text, "f.yaml")
    return [str(problem).removeprefix("f.yaml:") for problem in caught.value.problems]


def test_values_are_plain() -> None:
    text = """
whole: -7
fraction: 1.5
exponent: 1e3
yes-no: true
nothing: ~
date: 2024-01-15
moment: 2024-01-15T10:00:00Z
quoted: "012"
mapping: {list: [a, 'no', "1:30"]}
block: |
  two
  lines
"""
    assert parse(text, "f.yaml").value == {
        "whole": -7,
        "fraction": 1.5,
        "exponent": 1000.0,
        "yes-no": True,
        "nothing": None,
        "date": "2024-01-15",
        "moment": "2024-01-15T10:00:00Z",
        "quoted": "012",
        "mapping": {"list": ["a", "no", "1:30"]},
        "block": "two\nlines\n",
    }


def test_positions_are_those_of_keys_and_values_or_of_the_nearest_parent() -> None:
    document = parse("a:\n  b: [u, v]\n", "f.yaml")
    assert document.position(("a", "b", 1)) == (2, 10)
    assert document.position(("a", "b")) == (2, 6)
    assert document.position(("a", "b"), key=True) == (2, 3)
    assert document.position(("a", "b", 7)) == (2, 6)
    assert document.position(("a", "c"), key=True) == (2, 3)
    assert document.position(()) == (1, 1)


@pytest.mark.parametrize(
    "scalar",
    [
        *("1:30", "10:20:30", "012", "-07", "0x1F", "0b1", "1_000", "1_0.5", "99999999999999999999", "1e999"),
        *("NO", "No", "yes", "on", "OFF", "y", "N", ".inf", "-.INF", ".NaN"),
    ],
)
def test_a_scalar_that_yaml_misreads_is_refused_unless_quoted(scalar: str) -> None:
    assert len(problems(f"a: {scalar}\n")) == 1
    assert len(problems(f"{scalar}: a\n")) == 1
    assert parse(f'a: "{scalar}"\n', "f.yaml").value == {"a": scalar}


@pytest.mark.parametrize(
    "scalar", ["1:99", "12:30pm", "v012", "none", "0.5", "0", "a_1", "localhost:8084", "1.2.3", "="]
)
def test_a_harmless_scalar_is_left_alone(scalar: str) -> None:
    assert str(parse(f"a: {scalar}\n", "f.yaml").value["a"]) == scalar


@pytest.mark.parametrize("brackets", ["[" * 5000, "a: " + "[" * 5000, "{a: " * 5000, "- " * 5000, "? " * 5000])
def test_deep_nesting_is_a_problem_and_not_a_recursion_error(brackets: str) -> None:
    assert [problem.split(": ")[1] for problem in problems(brackets)] == ["the file is nested more than 50 levels deep"]


def test_fifty_levels_are_allowed() -> None:
    assert parse("a: " + "[" * 49 + "]" * 49, "f.yaml").value
    assert problems("a: " + "[" * 50 + "]" * 50) == ["1:53: the file is nested more than 50 levels deep"]


def test_all_problems_are_reported_at_once_and_in_order() -> None:
    assert problems("a: &x NO\nb: 012\na: *x\n5: !t c\n<<: {d: 1}\n") == [
        "1:4: `NO` is a boolean in YAML: write true or false, or quote the text",
        "1:4: a leading `&` is an anchor, which is not supported: remove it, or quote the text",
        "2:4: `012` is an octal number in YAML: write it without the leading zero, or quote the text",
        "3:1: duplicate key `a`: it is already at line 1, column 1",
        "3:4: a leading `*` is an alias, which is not supported: quote the text",
        "4:1: a key has to be a string, got a number: quote it",
        "4:4: a leading `!` is a tag, which is not supported: remove it, or quote the text",
        "5:1: `<<` merges another mapping, which is not supported: write the keys out",
    ]


def test_a_problem_is_one_line_whatever_the_key_holds() -> None:
    assert problems('"a\\n\\e[31m": 1\n"a\\n\\e[31m": 2\n') == [
        "2:1: duplicate key `a\\n\\x1b[31m`: it is already at line 1, column 1"
    ]


def test_an_escape_out_of_range_is_a_problem_where_it_is() -> None:
    assert problems('a: 1\nb: "\\UFFFFFFFF"\n') == ["2:7: not valid YAML: an escape or a number is out of range"]


@pytest.mark.parametrize("secret", ["*hunter2hunter2", "&hunter2hunter2", "!hunter2!hunter2", "012345678901234567"])
def test_a_password_without_quotes_is_not_repeated_in_the_problem(secret: str) -> None:
    assert secret[1:8] not in "".join(problems(f"password: {secret}\n"))


def is_a_mapping_or_refused(text: str) -> bool:
    try:
        return isinstance(parse(text, "f.yaml").value, dict)
    except DocumentError as error:
        return len(error.problems) > 0


@given(st.text())
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    assert is_a_mapping_or_refused(text)


_PIECES = [
    "a",
    ": ",
    "\n",
    "  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&x ",
    "*x",
    "!t ",
    "|",
    ">",
    '"',
    "'",
    "#",
    "? ",
    "---\n",
]
_PIECES += [
    "...\n",
    "%YAML 1.1\n",
    "\t",
    "<<",
    "012",
    "1:30",
    "NO",
    '"\\U',
    "ffffffff",
    "\\ud800",
    "\x85",
    "\ufeff",
    "@",
]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_arbitrary_yaml_raises_nothing_else(text: str) -> None:
    assert is_a_mapping_or_refused(text)


def test_a_file_that_cannot_be_read_says_what_and_where(tmp_path: Path) -> None:
    absent, pipe = tmp_path / "absent.yaml", tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    (tmp_path / "large.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    for path, message in {
        absent: "1:1: the file cannot be read: no such file or directory",
        tmp_path: "1:1: the file cannot be read: not a regular file",
        pipe: "1:1: the file cannot be read: not a regular file",
        tmp_path / "large.yaml": f"1:1: the file is larger than {MAX_BYTES} bytes",
        tmp_path / "latin.yaml": "2:1: the file is not UTF-8 text: save it as UTF-8",
    }.items():
        with pytest.raises(DocumentError) as caught:
            load(path)
        assert str(caught.value) == f"{path}:{message}"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = 1
    token: SecretStr = SecretStr("")


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    words: tuple[str, ...] = ()


def test_a_document_becomes_a_model() -> None:
    assert validate(parse("name: a\nmany: [{count: 2}]\n", "f.yaml"), Outer).many[0].count == 2


def test_what_the_model_refuses_is_said_in_plain_words_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("""inner: {count: many, coumt: 5}
many: [{count: 1.5}, 7, {token: [hunter2hunter2hunter2]}]
words: hunter2hunter2hunter2
words: [a, 5]
other: {}
name:
""")
    with pytest.raises(DocumentError) as caught:
        validate(read(path), Outer)
    assert str(caught.value).replace(f"{path}:", "").splitlines() == [
        "1:16: `count`: expected a whole number, got a string",
        "1:22: unknown key `coumt`: did you mean `count`? known keys: count, token",
        "2:16: `count`: expected a whole number, got a decimal number",
        "2:22: `many`: expected a mapping, got a number",
        "2:33: `token`: expected a string, got a list",
        "4:1: duplicate key `words`: it is already at line 3, column 1",
        "4:12: `words`: expected a string, got a number",
        "5:1: unknown key `other`; known keys: name, inner, many, words",
        "6:1: no value here: write one, or remove the key",
    ]
    assert caught.value.__context__ is None


def test_a_representation_holds_no_values() -> None:
    assert "hunter2" not in repr(parse("password: hunter2\n", "f.yaml"))


def test_a_mistake_carries_its_place() -> None:
    assert Mistake("no", "a", 1).at == ("a", 1)


def test_a_value_already_found_wrong_is_not_judged_again(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_text("name: *x\ninner: {count: 0x1F}\nwords: [NO, ~]\n")
    with pytest.raises(DocumentError) as caught:
        validate(read(path), Outer)
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3, 3]
