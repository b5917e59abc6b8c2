"""Request bodies: what is understood is exactly what was sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.web.bodies import BatchBody, SingleBody, check, decode, shown
from daemon.web.errors import ApiCode, ApiError

plain = st.none() | st.booleans() | st.integers(-(10**90), 10**90) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    plain | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), json_values))
def test_any_object_is_read_as_json_does(value: dict[str, object]) -> None:
    assert decode(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_bytes_are_an_object_or_refused(body: bytes) -> None:
    codes = []
    try:
        assert isinstance(decode(body), dict)
    except ApiError as error:
        codes.append(error.code)
    assert codes in ([], [ApiCode.INVALID_BODY])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1, "a": 1}', "a key appears twice in it"),
        (b'{"x": {"a": 1, "\\u0061": 2}}', "a key appears twice in it"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": 1e400}', "a number in it is too large"),
        (b'{"a": ' + b"1" * 101 + b"}", "a number in it is too large"),
        (b'{"a": "\\udfff"}', "it is not Unicode text in UTF-8"),
        (b"\xff", "it is not Unicode text in UTF-8"),
        (b"[]", "it is not an object"),
        (b"[" * 1_000_000, "it is nested too deeply"),
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
    ids=range(10),
)
def test_the_reason_is_told(body: bytes, reason: str) -> None:
    with pytest.raises(ApiError) as caught:
        decode(body)
    assert caught.value.data == {"reason": reason}


def test_nothing_is_an_empty_object() -> None:
    assert decode(b"") == {}


def test_the_defaults() -> None:
    one = check(SingleBody, {"confirm": True})
    many = check(BatchBody, {"task_ids": ["a"], "confirm": True})
    assert (one.delete_database_records, one.force) == (False, False)
    assert (many.delete_database_records, many.force, many.continue_on_error) == (False, False, True)


@given(json_values)
def test_only_the_value_true_confirms(value: object) -> None:
    if value is True:
        assert check(SingleBody, {"confirm": value}).confirm
        return
    with pytest.raises(ApiError) as caught:
        check(SingleBody, {"confirm": value})
    assert caught.value.code is (ApiCode.MISSING_PARAMETER if value is None else ApiCode.INVALID_PARAMETER)


@given(json_values.filter(lambda value: not isinstance(value, bool)), st.sampled_from(["force", "continue_on_error"]))
def test_booleans_are_never_guessed(value: object, name: str) -> None:
    with pytest.raises(ApiError) as caught:
        check(BatchBody, {"task_ids": ["a"], "confirm": True, name: value})
    assert (caught.value.code, caught.value.data) == (ApiCode.INVALID_PARAMETER, {"parameter": name})


@given(st.lists(st.sampled_from("abcde"), min_size=1))
def test_distinct_ids_keep_their_order(task_ids: list[str]) -> None:
    distinct = check(BatchBody, {"task_ids": task_ids, "confirm": True}).distinct_ids
    assert sorted(distinct) == sorted(set(task_ids))
    assert [task_ids.index(task_id) for task_id in distinct] == sorted(task_ids.index(task_id) for task_id in distinct)


def test_everything_missing_is_named_in_the_documents_order() -> None:
    with pytest.raises(ApiError) as caught:
        check(BatchBody, {"confirm": None})
    assert caught.value.fields == {"missing_params": ["task_ids", "confirm"]}


def test_every_unknown_key_is_named() -> None:
    with pytest.raises(ApiError) as caught:
        check(SingleBody, {"dry_run": True, "confirm": True, "\u202eeurt": 1})
    assert caught.value.fields == {"unknown_params": ["dry_run", "\\u202eeurt"]}


@given(st.text())
def test_a_made_up_name_is_shown_in_plain_characters(name: str) -> None:
    assert shown(name).isascii()
    assert not shown(name) or shown(name).isprintable()
    assert len(shown(name)) <= 80
