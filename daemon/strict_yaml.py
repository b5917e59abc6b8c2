"""Strict YAML: a small, unsurprising subset, every mistake of a file at once, each with ``file:line:column``.

PyYAML is used for its parser alone; values are built here from its events. Its own loader lets the last duplicate key
win, reads ``1:30`` as 90 and ``NO`` as false, and ends in a RecursionError on deep nesting: things that must not happen
to a file that decides what is deleted. (One module on purpose although it is long: positions tie the two halves,
building and explaining, together.)

Messages never carry a value of the document, except short scalars that cannot be a secret: a value may be a password.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails

from daemon.errors import DocumentError, Problem

# PyYAML reads about 100 KiB a second: more would stall a reload.
MAX_BYTES = 256 * 1024
MAX_NESTING = 50

Location: TypeAlias = tuple[str | int, ...]
Position: TypeAlias = tuple[int, int]
Model = TypeVar("Model", bound=BaseModel)

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}
# What YAML 1.1, the version PyYAML reads, makes of an unquoted scalar, and what to write instead.
_TRAPS = (
    (re.compile(r"(?i:y|n|yes|no|on|off)"), "is a boolean in YAML: write true or false, or quote the text"),
    (re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"), "is a base-60 number in YAML: quote the text"),
    (re.compile(r"[-+]?0[0-9_]+"), "is an octal number in YAML: write it without the leading zero, or quote the text"),
    (re.compile(r"[-+]?0[xXbBoO][0-9a-fA-F_]+"), "is not a decimal number: write it in decimal, or quote the text"),
    (re.compile(r"[-+]?[0-9][0-9.]*_[0-9_.]*"), "is a number with underscores: leave them out, or quote the text"),
    (re.compile(r"(?i:[-+]?\.inf|\.nan)"), "is not a finite number: write a number, or quote the text"),
)
# Stands for a value already found wrong: no model accepts it, so no rule is applied to what cannot be known.
_WRONG = object()
_SHOWN = 12  # A secret is longer than this (see the tokens of the configuration); a typing mistake is shorter.


class Mistake(ValueError):
    """What a validator of a model raises to say where, below its own place, the wrong value is."""

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at: Location = at


def refuse(mistakes: Collection[Mistake]) -> None:
    """For a validator that finds several mistakes: raises them all, if there are any."""
    if mistakes:
        lines = [
            InitErrorDetails(type="value_error", loc=mistake.at, input=None, ctx={"error": ValueError(str(mistake))})
            for mistake in mistakes
        ]
        raise ValidationError.from_exception_data("refused", lines)


@dataclass(frozen=True)
class Document:
    """One YAML file as plain values; its representation leaves the values out, because they may be secret.

    ``problems`` is empty for a document from `load` and `parse`. `read` keeps what it found there, so that `validate`
    can report it together with its own findings; ``flawed`` are the places it has replaced with a stand-in.
    """

    file: str
    value: Any = field(repr=False)
    marks: Mapping[Location, tuple[Position, Position]] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    flawed: frozenset[Location] = field(default=frozenset(), repr=False)

    def position(self, location: Location, *, key: bool = False) -> Position:
        """Line and column, from 1, of the value (or its key) there, or of the nearest parent that exists."""
        while location and location not in self.marks:
            location, key = location[:-1], False
        return self.marks[location][1 if key else 0]

    def problem(self, location: Location, message: str, *, key: bool = False) -> Problem:
        """A problem at that place."""
        return Problem(self.file, *self.position(location, key=key), _line(message))

    def flaw(self, location: Location, message: str) -> Document:
        """The same document with one more problem there, about which `validate` then says nothing further."""
        problems = (*self.problems, self.problem(location, message))
        return replace(self, problems=problems, flawed=self.flawed | {location})


def load(path: Path, *, if_missing: str = "") -> Document:
    """Read one YAML file; raises `DocumentError` with all its problems, one that is not there with ``if_missing``."""
    return _faultless(read(path, if_missing=if_missing))


def parse(text: str, file: str) -> Document:
    """Like `load`, for text that is already there; ``file`` is what the problems name."""
    return _faultless(_Builder(text, file).build())


def read(path: Path, *, if_missing: str = "") -> Document:
    """Like `load`, but keeps the problems for `validate`; raises only where nothing can be built at all."""
    file = str(path)
    try:
        # A pipe or a device could block for ever.
        if path.exists() and not path.is_file():
            raise DocumentError([Problem(file, 1, 1, "the file cannot be read: not a regular file")])
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "not a valid path").lower()
        if if_missing and isinstance(error, FileNotFoundError):
            reason += f"; {if_missing}"
        raise DocumentError([Problem(file, 1, 1, f"the file cannot be read: {reason}")]) from None
    if len(data) > MAX_BYTES:
        raise DocumentError([Problem(file, 1, 1, f"the file is larger than {MAX_BYTES} bytes")])
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError([Problem(file, line, 1, "the file is not UTF-8 text: save it as UTF-8")]) from None
    return _Builder(text, file).build()


def validate(document: Document, model: type[Model], *, context: Mapping[str, Any] | None = None) -> Model:
    """The document as that model, by the names YAML uses; raises `DocumentError` with everything that is wrong."""
    empty: set[Location] = set()
    value = _without_nulls(document.value, (), empty)
    problems = list(document.problems)
    # A key without a value would be as if it were not there: in a policy, silently one condition less.
    problems += [document.problem(at, "no value here: write one, or remove the key", key=True) for at in empty]
    result: Model | None = None
    try:
        result = model.model_validate(value, context=dict(context or {}), by_alias=True, by_name=False)
    except ValidationError as error:
        silent = document.flawed | empty
        for details in error.errors(include_url=False):
            if not any(details["loc"][:length] in silent for length in range(len(details["loc"]) + 1)):
                problems.append(_explain(document, model, details))
    # Raised outside the handler: no traceback may lead back to pydantic's error, which holds the values.
    if problems or result is None:
        raise DocumentError(problems)
    return result


def suggestion(word: str, known: Collection[str]) -> str:
    """``": did you mean `this`?"`` or, if nothing is close, ``";"``; what is known comes after it."""
    same = [one for one in sorted(known) if one.lower() == word.lower()]
    close = same or difflib.get_close_matches(word, sorted(known), 1, 0.7)
    return f": did you mean `{close[0]}`?" if close else ";"


def kind(value: object) -> str:
    """What a YAML value is, in words."""
    names = {bool: "a boolean", int: "a number", float: "a decimal number", str: "a string", list: "a list"}
    return "nothing" if value is None else names.get(type(value), "a mapping")


def _faultless(document: Document) -> Document:
    if document.problems:
        raise DocumentError(document.problems)
    return document


class _Stop(Exception):
    """Nothing after this place can be understood."""


class _Builder:
    """Builds plain values from PyYAML's events, whose parser, unlike its composer, does not recurse."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        self.problems: list[Problem] = []
        self.marks: dict[Location, tuple[Position, Position]] = {(): ((1, 1), (1, 1))}
        self.flawed: set[Location] = set()
        self.events: Iterator[yaml.Event] = iter(())

    def build(self) -> Document:
        value: Any = None
        try:
            parser = yaml.SafeLoader(self.text)
            self.events = iter(parser.get_event, None)
            value = self.document()
        except _Stop:
            raise DocumentError(self.problems) from None
        except yaml.YAMLError as error:
            self.problems.append(_syntax(error, self.text, self.file))
            raise DocumentError(self.problems) from None
        except (ValueError, OverflowError):  # PyYAML lets an escape such as "\UFFFFFFFF" through to chr().
            mark = parser.get_mark()
            message = "not valid YAML: an escape or a number is out of range"
            self.problems.append(Problem(self.file, mark.line + 1, mark.column + 1, message))
            raise DocumentError(self.problems) from None
        return Document(self.file, value, self.marks, tuple(self.problems), frozenset(self.flawed))

    def document(self) -> Any:
        next(self.events)
        value, started = None, False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if started:
                    raise self.stop(event, "the file holds several documents: remove everything from this `---` on")
                started = True
                value = self.node(next(self.events), (), 1)
        if value is None and not self.problems:
            raise self.stop(None, "the file is empty: it has to hold a mapping of keys to values")
        if not isinstance(value, dict) and () not in self.flawed:
            raise self.stop(None, f"the top level has to be a mapping of keys to values, got {kind(value)}")
        return value

    def node(self, event: yaml.Event, location: Location, depth: int, key: Position | None = None) -> Any:
        self.marks[location] = (_start(event), key or _start(event))
        if depth > MAX_NESTING:
            raise self.stop(event, f"the file is nested more than {MAX_NESTING} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self.flaw(event, location, "a leading `*` is an alias, which is not supported: quote the text")
        if getattr(event, "anchor", None) is not None:
            self.add(event, "a leading `&` is an anchor, which is not supported: remove it, or quote the text")
        if getattr(event, "tag", None) is not None:
            self.add(event, "a leading `!` is a tag, which is not supported: remove it, or quote the text")
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self.node(item, (*location, len(items)), depth + 1))
            return items
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(location, depth)
        return self.scalar(cast(yaml.ScalarEvent, event), location)

    def mapping(self, location: Location, depth: int) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        first: dict[str, Position] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            text = event.value if isinstance(event, yaml.ScalarEvent) else ""
            place, before = (*location, text), len(self.problems)
            named = self.node(event, place, depth + 1)
            merge = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and text == "<<"
            if merge:
                self.add(event, "`<<` merges another mapping, which is not supported: write the keys out")
            elif len(self.problems) == before and not isinstance(named, str):
                self.flaw(event, place, f"a key has to be a string, got {kind(named)}: quote it")
            elif text in first:
                line, column = first[text]
                self.add(event, f"duplicate key `{text}`: it is already at line {line}, column {column}")
            value = self.node(next(self.events), place, depth + 1, _start(event))
            if not merge:
                entries[text] = value
                first.setdefault(text, _start(event))
        return entries

    def scalar(self, event: yaml.ScalarEvent, location: Location) -> Any:
        text = event.value
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            return self.flaw(event, location, "the text holds a character that no name or path can have")
        if not event.implicit[0]:
            return text
        if (lower := text.lower()) in _CONSTANTS:
            return _CONSTANTS[lower]
        for pattern, advice in _TRAPS:
            if pattern.fullmatch(text):
                shown = f"`{text}`" if len(text) <= _SHOWN else "this"
                return self.flaw(event, location, f"{shown} {advice}")
        if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text):
            number = float(text)
            if abs(number) >= 2**53:
                return self.flaw(event, location, "the number is too large: quote it if it is a text")
            return int(text) if _INTEGER.fullmatch(text) else number
        return text

    def add(self, event: yaml.Event | None, message: str) -> None:
        self.problems.append(Problem(self.file, *(_start(event) if event else (1, 1)), _line(message)))

    def flaw(self, event: yaml.Event, location: Location, message: str) -> object:
        self.add(event, message)
        self.flawed.add(location)
        return _WRONG

    def stop(self, event: yaml.Event | None, message: str) -> _Stop:
        self.add(event, message)
        return _Stop()


def _line(message: str) -> str:
    """One line, whatever a key that is part of it holds: it goes to a terminal and a log."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in message)


def _start(event: yaml.Event) -> Position:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    line, column, what = 1, 1, "cannot be understood"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (line, column)
        what = ": ".join(part for part in (error.context, error.problem) if part)
        what = re.sub(r"'(\\x00|<stream end>)'", "the end of the file", what)
        what = re.sub(r"tag handle '.*'", "tag handle", what)  # It may be the beginning of an unquoted password.
    elif isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        what = "a control character that YAML does not allow"
    if re.search(r"alias|anchor|tag|cannot start any token", what):
        what += "; text that begins with a special character needs quotes"
    return Problem(file, line, column, f"not valid YAML: {what}")


def _without_nulls(value: Any, location: Location, found: set[Location]) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item, (*location, key), found) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nulls(item, (*location, index), found) for index, item in enumerate(value)]
    if value is None:
        found.add(location)
        return _WRONG
    return value


_EXPECTED = {
    "string_type": "a string",
    "path_type": "a path",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "model_type": "a mapping",
}


def _explain(document: Document, model: type[BaseModel], error: ErrorDetails) -> Problem:
    """Pydantic's finding in words of our own; the input itself is never part of them."""
    location, type_, found = error["loc"], error["type"], error["input"]
    context = error.get("ctx", {})
    if type_ == "missing":
        return document.problem(location[:-1], f"missing key `{location[-1]}`")
    if type_ == "extra_forbidden":
        keys = _keys(_model_at(model, location[:-1]))
        message = f"unknown key `{location[-1]}`{suggestion(str(location[-1]), keys)} known keys: {', '.join(keys)}"
        return document.problem(location, message, key=True)
    if type_ in _EXPECTED:
        example = getattr(_model_at(model, location), "EXAMPLE", None) if type_ == "model_type" else None
        such_as = f" such as {example}" if example else ""
        message = f"expected {_EXPECTED[type_]}{such_as}, got {kind(found)}"
    elif type_ == "tuple_type":
        inside = _model_at(model, location)
        example = getattr(inside, "EXAMPLE", None)
        such_as = f" such as [{example}]" if example else ""
        message = f"expected a list of {'mappings' if inside else 'strings'}{such_as}, got {kind(found)}"
    elif type_ in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", context["expected"])
        close = suggestion(found, choices) if isinstance(found, str) else ";"
        message = f"expected one of {', '.join(choices)}" + (close if close != ";" else f", got {_short(found)}")
    elif type_ in ("greater_than_equal", "less_than_equal"):
        message = f"has to be at least {context['ge']}" if "ge" in context else f"has to be at most {context['le']}"
    elif type_ == "value_error":
        mistake = context["error"]
        location = (*location, *mistake.at) if isinstance(mistake, Mistake) else location
        message = str(mistake)
    else:
        message = "this value is not accepted here"
    names = [step for step in location if isinstance(step, str)]
    return document.problem(location, f"`{names[-1]}`: {message}" if names else message)


def _short(found: object) -> str:
    return f"`{found}`" if isinstance(found, str) and len(found) <= _SHOWN else kind(found)


def _keys(model: type[BaseModel] | None) -> list[str]:
    fields = model.model_fields.items() if model else ()
    return [str(info.validation_alias or name) for name, info in fields]


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    found: type[BaseModel] | None = model
    for step in location:
        if isinstance(step, str) and found:
            fields = {str(info.validation_alias or name): info for name, info in found.model_fields.items()}
            found = _model_in(fields[step].annotation) if step in fields else None
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
