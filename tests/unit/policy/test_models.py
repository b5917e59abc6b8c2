"""The models of policies, as Python code uses them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from daemon.errors import ErrorCode, SweepdError
from daemon.policy.models import (
    Action,
    Age,
    Condition,
    Glob,
    Keep,
    Mode,
    Policy,
    PolicyFile,
    PolicySet,
    Protect,
    Schedule,
)

FAILED = Condition(status=("failed",))


def policy(name: str = "old", match: Condition = FAILED, allow_all: bool = False) -> Policy:
    return Policy(name=name, match=match, allow_all=allow_all, action=Action(delete="directory"))


def any_text(pattern: str = "*") -> Condition:
    return Condition(task_id=Glob(glob=(pattern,)))


def test_a_policy_observes_unless_told_otherwise() -> None:
    assert policy().mode is Mode.OBSERVE


@pytest.mark.parametrize(
    ("condition", "everything"),
    [
        (Condition(), True),
        (any_text(), True),
        (any_text("***"), True),
        (any_text("?*"), True),
        (any_text("??*"), False),
        (any_text("a*"), False),
        (any_text("?"), False),
        (Condition(task_id=Glob(glob=("a", "*"))), True),
        (Condition(task_id=Glob(glob=("*",)), status=("failed",)), False),
        (Condition(all=(any_text(), any_text())), True),
        (Condition(all=(any_text(), FAILED)), False),
        (Condition(any=(FAILED, any_text())), True),
        (Condition(any=(FAILED,)), False),
        (Condition(not_=any_text()), False),
        (Condition(not_=Condition(not_=any_text())), True),
        (Condition(not_=Condition(any=(FAILED, any_text()))), False),
        (Condition(not_=Condition(all=(FAILED, Condition(not_=any_text())))), True),
        (Condition(not_=FAILED), False),
    ],
)
def test_a_condition_knows_whether_it_matches_everything(condition: Condition, everything: bool) -> None:
    assert condition.matches_everything() is everything
    if everything:
        assert policy(match=condition, allow_all=True).match == Condition()
        with pytest.raises(ValidationError, match="allow_all: true"):
            policy(match=condition)
    else:
        assert policy(match=condition).match == condition


def test_a_directory_that_is_there_is_no_cause_to_leave_anything_out() -> None:
    present = Condition(directory="present")
    with pytest.raises(ValidationError, match="allow_all: true"):
        policy(match=present)
    assert policy(match=present, allow_all=True).match == present
    assert policy(match=Condition(directory="present", status=("failed",))).match.status == ("failed",)


def test_a_name_that_may_be_anything_has_to_be_meant_and_is_asked_for_all_the_same() -> None:
    named = Condition(any=(FAILED, Condition(task_name=Glob(glob=("*",)))))
    with pytest.raises(ValidationError, match="allow_all: true"):
        policy(match=named)
    assert policy(match=named, allow_all=True).match == named


def test_a_bare_duration_is_the_age_since_completion() -> None:
    condition = Condition.model_validate({"older_than": "30d"})
    assert condition.older_than == Age(age=timedelta(days=30), by="completed")


def test_durations_made_in_python_have_to_be_positive() -> None:
    with pytest.raises(ValidationError):
        Keep(min_age=timedelta())


def test_a_schedule_gives_the_fields_for_the_scheduler() -> None:
    fields = Schedule(cron="0 4 * * 0").cron_fields
    assert fields is not None
    assert fields.day_of_week == "sun"
    assert Schedule(every=timedelta(hours=6)).cron_fields is None


def test_nothing_can_be_changed() -> None:
    with pytest.raises(ValidationError):
        policy().mode = Mode.ENFORCE  # type: ignore[misc]


def test_a_set_finds_a_policy_or_lists_the_names_there_are() -> None:
    policies = PolicySet(policies=(policy("finished"), policy("failed")))
    assert policies.get("failed").name == "failed"
    with pytest.raises(SweepdError) as caught:
        policies.get("finisched")
    assert caught.value.code is ErrorCode.POLICY_NOT_FOUND
    assert str(caught.value) == "no policy `finisched`: did you mean `finished`? known policies: finished, failed"
    with pytest.raises(SweepdError, match="no policy `x`; known policies: none"):
        PolicySet().get("x")


def test_the_digest_changes_with_the_meaning_and_not_with_the_order() -> None:
    first, second, golden = policy("a"), policy("b"), Protect(name="golden", match=FAILED)
    digest = PolicySet(policies=(first, second), protect=(golden,)).digest
    assert len(digest) == 64
    assert PolicySet(policies=(second, first), protect=(golden,)).digest == digest
    assert PolicySet(policies=(first, second)).digest != digest
    assert PolicySet(policies=(first, policy("b", any_text("x*"))), protect=(golden,)).digest != digest


def test_the_digest_is_the_same_in_every_release() -> None:
    assert PolicySet(policies=(policy(),)).digest == "b8d01dcf26e36b6053a473c9eeee9950cfda55c9c048c1e0da398fb6cfe659e9"


def test_editors_can_have_a_schema() -> None:
    schema = PolicyFile.model_json_schema()
    assert {"version", "policies", "protect"} == set(schema["properties"])
    assert "not" in schema["$defs"]["Condition"]["properties"]
