"""The OpenAPI 3.1 description, made of the operations and of the models they check requests with."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import daemon
from daemon.storage.names import TASK_ID
from daemon.web.bodies import Body
from daemon.web.operations import Operation
from daemon.web.responses import ERROR, HEADERS, JSON, TEXT, Json, failures, successes

_HEADERS: Final[Json] = {
    "Idempotency-Key": {
        "description": "Makes a retry safe: with the same key and request it gets the first answer, for 24 hours.",
        "schema": {**TEXT, "pattern": "^[!-~]{1,255}$"},
    },
    "Prefer": {
        "description": "`respond-async`: answer 202 with a job instead of waiting.",
        "schema": {**TEXT, "examples": ["respond-async"]},
    },
    "Last-Event-ID": {
        "description": "The id of the last event that was received: the stream goes on after it.",
        "schema": {**TEXT, "pattern": "^[0-9]{1,9}$"},
    },
}
_PATH_VALUES: Final[dict[str, Json]] = {
    "task_id": {**TEXT, "pattern": f"^{TASK_ID.pattern}$", "examples": ["task_20250702_173932"]},
}
_SECURITY: Final[Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token with the scope that the operation names. A daemon without tokens asks for none, and "
        "serves its own machine only.",
    }
}


def describe(operations: Sequence[Operation]) -> Json:
    """The whole document. Takes some milliseconds: make it once."""
    references, definitions = _schemas(operations)
    paths: defaultdict[str, Json] = defaultdict(dict)
    for operation in operations:
        paths[operation.public_path][operation.method.lower()] = _operation(operation, references, definitions)
    queries = {operation.query.__name__ for operation in operations if operation.query}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "sweepd",
            "version": daemon.__version__,
            "description": "Deletes task directories of a data pipeline: by policy, by hand, with a way back.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "components": {
            "schemas": {"Error": ERROR, **{n: s for n, s in definitions.items() if n not in queries}},
            "headers": HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _schemas(operations: Iterable[Operation]) -> tuple[dict[type[BaseModel], Json], dict[str, Json]]:
    """References by model, and the definitions they lead to."""
    models: dict[type[BaseModel], None] = {}
    for operation in operations:
        wanted = (operation.query, operation.body, operation.beside, *operation.answers.values())
        models.update(dict.fromkeys(model for model in wanted if model is not None))
    found, schema = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    definitions: dict[str, Json] = schema.get("$defs", {})
    strict = {model.__name__ for model in models if issubclass(model, Body)}
    for name, definition in definitions.items():
        _plain(definition)
        if name not in strict:  # answers may get new keys
            definition.pop("additionalProperties", None)
    return {model: found[model, "validation"] for model in models}, definitions


def _plain(definition: Json) -> None:
    """Without the titles that only repeat names, and with descriptions as Markdown has them."""
    definition.pop("title", None)
    if "description" in definition:
        definition["description"] = markdown(definition["description"])
    for value in definition.get("properties", {}).values():
        _plain(value)


def markdown(docstring: str) -> str:
    """Our docstrings as Markdown: one kind of backtick, and no line breaks inside a paragraph."""
    paragraphs = re.split(r"\n\s*\n", docstring.replace("``", "`"))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _operation(operation: Operation, references: dict[type[BaseModel], Json], definitions: dict[str, Json]) -> Json:
    tag = operation.name.partition("_")[0]
    summary, _, more = markdown(operation.handler.__doc__ or "").partition(". ")
    described: Json = {"operationId": operation.name, "summary": summary.removesuffix("."), "tags": [tag]}
    if more:
        described["description"] = more
    parameters = _parameters(operation, definitions)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = _request_body(operation, operation.body, references, definitions)
    described["responses"] = {**successes(operation, references), **failures(operation)}
    described["security"] = [{"bearer": [str(operation.scope)]}] if operation.scope else []
    return described


def _parameters(operation: Operation, definitions: dict[str, Json]) -> list[Json]:
    names = re.findall(r"\{(\w+)\}", operation.public_path)
    in_path: list[Json] = [
        {"name": n, "in": "path", "required": True, "schema": _PATH_VALUES.get(n, {**TEXT, "minLength": 1})}
        for n in names
    ]
    in_query = [] if operation.query is None else _in_query(definitions[operation.query.__name__])
    return in_path + in_query + [_in_header(name) for name in operation.headers]


def _in_header(name: str) -> Json:
    return {"name": name, "in": "header", "required": False, **_HEADERS[name]}


def _in_query(definition: Json) -> list[Json]:
    found = []
    for name, schema in definition.get("properties", {}).items():
        # A parameter that is not given is None inside; nobody can send it.
        choices = [choice for choice in schema.get("anyOf", []) if choice != {"type": "null"}]
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "description")}
        if rest.get("default", 0) is None:
            del rest["default"]
        parameter: Json = {"name": name, "in": "query", "required": name in definition.get("required", ())}
        if "description" in schema:
            parameter["description"] = schema["description"]
        parameter["schema"] = {**rest, **(choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})}
        found.append(parameter)
    return found


def _request_body(
    operation: Operation, body: type[Body], references: dict[type[BaseModel], Json], definitions: dict[str, Json]
) -> Json:
    content: Json = {"schema": references[body]}
    for example in definitions[body.__name__].get("examples", ())[:1]:
        content["example"] = example
    return {"required": not operation.body_optional, "content": {JSON: content}}
