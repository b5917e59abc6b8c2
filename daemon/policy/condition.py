"""Conditions: which tasks a policy means."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.policy.schema import Adds
from daemon.policy.values import Duration, Size
from daemon.strict_yaml import Location, kind, suggestion

OF_INVENTORY: Final = frozenset({"modified", "first_seen"})
"""Timestamps of directories, not of rows."""


class Strict(BaseModel):
    """Immutable, and refuses what it does not know."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True, hide_input_in_errors=True
    )


def one_or_more(value: Any) -> Any:
    """A single string stands for a list of it; an empty list is refused."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple):
        raise ValueError(f"expected a string or a list of strings, got {kind(value)}")
    return _not_empty_list(value)


def _not_empty_list(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise ValueError("the list is empty: add an entry, or remove the key")
    return value


def _not_empty(value: Any) -> Any:
    if isinstance(value, dict) and not value:
        raise ValueError("the condition is empty and would match everything: say what it matches")
    return value


def _known_status(value: str, info: ValidationInfo) -> str:
    known: Collection[str] | None = (info.context or {}).get("statuses")
    if known is not None and value not in known:
        raise ValueError(f"unknown status `{value}`{suggestion(value, known)} known: {', '.join(known)}")
    return value


def _wildcards(value: str) -> str:
    if not value:
        raise ValueError('the pattern is empty: write "*" for any text')
    if "[" in value:
        raise ValueError(
            "only * and ? are wildcards, `[` is not supported: write a list of patterns, one for each case"
        )
    return value


# What the JSON Schema says of them; the validators say the same, in better words.
_Texts: TypeAlias = str | Annotated[list[str], Field(min_length=1)]
_Wild: TypeAlias = Annotated[str, Field(pattern=r"^[^\[]+$")]
_Wilds: TypeAlias = _Wild | Annotated[list[_Wild], Field(min_length=1)]

Names: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(one_or_more, json_schema_input_type=_Texts)]
Status: TypeAlias = Annotated[str, AfterValidator(_known_status)]
Statuses: TypeAlias = Annotated[tuple[Status, ...], BeforeValidator(one_or_more, json_schema_input_type=_Texts)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_wildcards)]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], BeforeValidator(one_or_more, json_schema_input_type=_Wilds)]


class Age(Strict):
    """How long ago one of a task's timestamps has to be; a bare duration means since it completed.

    ``modified`` is the newest change of a file, ``first_seen`` the first scan that met the directory: both are the
    inventory's. Directories without a row have no other.
    """

    EXAMPLE: ClassVar = "{age: 30d, by: completed}"

    age: Duration
    by: Literal["created", "started", "completed", "updated", "modified", "first_seen"] = "completed"


def _bare(value: Any) -> Any:
    return {"age": value} if isinstance(value, str | int | float) else value


AgeOrDuration: TypeAlias = Annotated[Age, BeforeValidator(_bare, json_schema_input_type=Age | Duration)]


class Glob(Strict):
    """Patterns of which one has to fit the whole text; ``*`` is any text, ``?`` any one character, case counts."""

    glob: Patterns

    @model_validator(mode="before")
    @classmethod
    def _no_shorthand(cls, value: Any) -> Any:
        if isinstance(value, str | list):
            raise ValueError(f'expected a mapping such as {{glob: "run-*"}}, got {kind(value)}')
        return value


class SizeRange(Strict):
    """How large a task directory is: the apparent bytes of its files, as the last scan counted them."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    gte: Size | None = None
    gt: Size | None = None
    lte: Size | None = None
    lt: Size | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_shorthand(cls, value: Any) -> Any:
        if not isinstance(value, dict | SizeRange):
            raise ValueError(f"expected a mapping such as {{gte: 100MB}}, got {kind(value)}")
        return value

    @field_validator("gt", "lt")
    @classmethod
    def _one_of_two(cls, bound: Size | None, info: ValidationInfo) -> Size | None:
        assert info.field_name is not None
        if bound is not None and info.data.get(f"{info.field_name}e") is not None:
            raise ValueError(f"the same bound twice: write one of `{info.field_name}` and `{info.field_name}e`")
        return bound

    @field_validator("lte", "lt")
    @classmethod
    def _some_size_fits(cls, most: Size | None, info: ValidationInfo) -> Size | None:
        least = [bound for word in ("gte", "gt") if (bound := info.data.get(word)) is not None]
        exact = info.field_name == "lte" and info.data.get("gt") is None
        if most is not None and least and (max(least) > most or (max(least) == most and not exact)):
            raise ValueError("no size is as small and as large as this asks for: correct one of the bounds")
        return most

    @model_validator(mode="after")
    def _says_something(self) -> SizeRange:
        if not self.bounds:
            raise ValueError("says nothing: add one of `gte`, `gt`, `lte` and `lt`")
        return self

    @property
    def bounds(self) -> dict[str, int]:
        """The bounds that are given, by their word."""
        return {word: bound for word in ("gte", "gt", "lte", "lt") if (bound := getattr(self, word)) is not None}


class Condition(Strict):
    """Several keys mean all of them. Without any key it is true; YAML cannot write that, except by ``allow_all``."""

    EXAMPLE: ClassVar = "{status: completed}"

    all: Annotated[tuple[NonEmpty, ...], BeforeValidator(_not_empty_list), Adds(minItems=1)] | None = None
    any: Annotated[tuple[NonEmpty, ...], BeforeValidator(_not_empty_list), Adds(minItems=1)] | None = None
    # Not `alias`: type checkers would take "not" for the name of the argument.
    not_: NonEmpty | None = Field(default=None, validation_alias="not", serialization_alias="not")
    status: Statuses | None = None
    older_than: AgeOrDuration | None = None
    newer_than: AgeOrDuration | None = None
    task_id: Glob | None = None
    task_name: Glob | None = None
    user: Names | None = None
    database: Names | None = None
    directory: Literal["present", "missing"] | None = None
    size: SizeRange | None = None

    def places(self, at: Location = ()) -> Iterator[tuple[Location, Condition]]:
        """This condition and every one inside it, each with its place in the document, from here on."""
        yield at, self
        for word in ("all", "any"):
            children: tuple[Condition, ...] = getattr(self, word) or ()
            for index, child in enumerate(children):
                yield from child.places((*at, word, index))
        if self.not_ is not None:
            yield from self.not_.places((*at, "not"))

    def asks_inventory(self) -> bool:
        """Whether it needs to know what is in the directories."""
        inside = [condition for _, condition in self.places()]
        ages = [age for one in inside for age in (one.older_than, one.newer_than) if age is not None]
        return any(one.size for one in inside) or any(age.by in OF_INVENTORY for age in ages)

    def asks_names(self) -> bool:
        """Whether it asks for ``task_name`` anywhere."""
        return any(condition.task_name for _, condition in self.places())

    def matches_everything(self) -> bool:
        """Whether its structure alone says so: no key at all, or nothing but patterns that fit any text.

        Every name counts, though a task may have none: that is no cause to ask for so much without a word.
        """
        return all(truth is True for truth in self._truths())

    def _truths(self) -> list[bool | None]:
        """For each key: true or false for every task whatever, or None for "it depends"."""
        truths: list[bool | None] = []
        if self.all is not None:
            truths.append(_conjunction([_truth(child) for child in self.all]))
        if self.any is not None:
            truths.append(_negation(_conjunction([_negation(_truth(child)) for child in self.any])))
        if self.not_ is not None:
            truths.append(_negation(_truth(self.not_)))
        truths += [any(map(_universal, glob.glob)) or None for glob in (self.task_id, self.task_name) if glob]
        leaves = (self.status, self.older_than, self.newer_than, self.user, self.database, self.directory, self.size)
        truths += [None for leaf in leaves if leaf is not None]
        return truths


NonEmpty: TypeAlias = Annotated[Condition, BeforeValidator(_not_empty), Adds(minProperties=1)]
Condition.model_rebuild()


def _truth(condition: Condition) -> bool | None:
    return _conjunction(condition._truths())


def _conjunction(truths: list[bool | None]) -> bool | None:
    if any(truth is False for truth in truths):
        return False
    return True if all(truths) else None


def _negation(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def _universal(pattern: str) -> bool:
    # "?*" as well: no identifier is empty.
    return "*" in pattern and set(pattern) <= {"*", "?"} and pattern.count("?") <= 1
