"""What is valid and probably not meant, and the examples that messages give."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from daemon.policy.condition import Age, Condition, Strict
from daemon.policy.models import Action, Keep, Mode, Policy, PolicyFile, PolicySet, Protect, Trash
from daemon.policy.remarks import remarks


def policy(age: timedelta, *, mode: Mode = Mode.ENFORCE, retain: timedelta | None = None) -> Policy:
    inside = Condition(older_than=Age(age=age))
    action = Action(delete="directory") if retain is None else Action(trash=Trash(retain=retain))
    return Policy(name="old", mode=mode, match=Condition(any=(inside, Condition(user=("bob",)))), action=action)


def said(one: Policy) -> list[str]:
    return list(remarks(PolicySet(policies=(one,))))


def test_minutes_where_months_may_be_meant_are_remarked_upon() -> None:
    assert said(policy(timedelta(minutes=6))) == [
        "policy old: `older_than: 6m` means 6 minutes; if months are meant, write them in days, such as 180d"
    ]
    assert "`retain: 1m` means 1 minute;" in said(policy(timedelta(days=1), retain=timedelta(minutes=1)))[0]
    kept = policy(timedelta(days=1)).model_copy(update={"keep": Keep(min_age=timedelta(minutes=6))})
    assert "`min_age: 6m` means 6 minutes;" in said(kept)[0]
    young = Protect(name="young", match=Condition(not_=Condition(older_than=Age(age=timedelta(seconds=30)))))
    assert "protection young: `older_than: 30s` means 30 seconds;" in next(remarks(PolicySet(protect=(young,))))


@pytest.mark.parametrize("one", [policy(timedelta(minutes=6), mode=Mode.OBSERVE), policy(timedelta(hours=1))])
def test_what_deletes_nothing_or_is_old_enough_is_not(one: Policy) -> None:
    assert said(one) == []


def models(model: type[BaseModel], found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """Every mapping of the policy language inside ``model``, and itself."""

    def inside(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            models(annotation, found)
        for argument in getattr(annotation, "__args__", ()):
            inside(argument)

    if model not in found:
        found.add(model)
        for field in model.model_fields.values():
            inside(field.annotation)
    return found


WITH_WORDS_OF_THEIR_OWN = {"PolicyFile", "Glob", "SizeRange"}
MAPPINGS = sorted(models(PolicyFile, set()), key=lambda model: model.__name__)


@pytest.mark.parametrize("model", MAPPINGS, ids=lambda model: model.__name__)
def test_each_mapping_has_an_example_that_is_valid(model: type[Strict]) -> None:
    if model.__name__ in WITH_WORDS_OF_THEIR_OWN:
        return
    model.model_validate(yaml.safe_load(model.EXAMPLE))  # type: ignore[attr-defined]
