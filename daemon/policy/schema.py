"""The JSON Schema of a pydantic model, as an editor wants it for a YAML file."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Adds:
    """In an annotation: keywords that the schema of the value has besides."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(core), **self.keywords}


def file_schema(model: type[BaseModel], *, title: str) -> dict[str, Any]:
    """The schema (draft 2020-12) of files that hold one ``model``."""
    schema = model.model_json_schema(by_alias=True, schema_generator=_ForEditors)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema, "title": title}


class _ForEditors(GenerateJsonSchema):
    """Without what YAML files cannot say (a key without a value is refused) and what no reader needs."""

    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        found: JsonSchemaValue = super().generate(schema, mode)
        for definition in (found, *found.get("$defs", {}).values()):
            definition.pop("title", None)
            if "description" in definition:
                definition["description"] = " ".join(definition["description"].replace("``", "`").split())
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema  # whatever it is
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        if found.get("default", ...) in (None, [], ""):
            del found["default"]
        return found
