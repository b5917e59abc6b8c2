"""The description as one HTML page: no script, no image, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final

from daemon.web.messages import MESSAGES
from daemon.web.responses import JSON, Json

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --link: #0b62c4 }
@media (prefers-color-scheme: dark) { :root { --link: #7db8ff } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 0 auto; padding: 1rem 1.5rem 6rem }
a { color: var(--link); text-decoration: none } a:hover { text-decoration: underline }
code, pre { font: 13px/1.45 ui-monospace, monospace }
pre { background: var(--soft); padding: .7rem 1rem; overflow-x: auto; border-radius: 6px }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid var(--line) }
th { font-weight: 600 } h2 { margin-top: 2.5rem } h3 { margin: 2rem 0 .3rem }
h4 { margin: 1rem 0 0 } .method { font-weight: 700; margin-right: .5rem }
.DELETE { color: #c22 } .POST { color: #a60 } .GET { color: #287d3c }
.scope { float: right; font-size: 13px; border: 1px solid var(--line); border-radius: 1rem; padding: 0 .6rem }
nav { columns: 2; list-style: none } nav p { margin: 0; break-inside: avoid }
@media (max-width: 50rem) { nav { columns: 1 } }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def render(document: Json) -> str:
    """The page for an OpenAPI document of ``describe``."""
    info = document["info"]
    title = f"{info['title']} {info['version']}: HTTP API"
    operations = [
        (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    body = "".join(
        [
            f"<h1>{escape(title)}</h1><p>{escape(info['description'])} ",
            'For machines: <a href="openapi.json">openapi.json</a>.</p>',
            f"<p>{_text(document['components']['securitySchemes']['bearer']['description'])}</p>",
            f"<nav>{''.join(_entry(*one) for one in operations)}</nav>",
            *(_operation(*one) for one in operations),
            "<h2>Schemas</h2>",
            *(_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())),
        ]
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{body}</body></html>"
    )


def _entry(method: str, path: str, operation: Json) -> str:
    return f'<p><a href="#{operation["operationId"]}">{_address(method, path)}</a></p>'


def _address(method: str, path: str) -> str:
    return f'<span class="method {method}">{method}</span><code>{escape(path)}</code>'


def _operation(method: str, path: str, operation: Json) -> str:
    scopes = [scope for one in operation["security"] for scope in one["bearer"]]
    return "".join(
        [
            f'<h3 id="{operation["operationId"]}">{_address(method, path)}',
            f'<span class="scope">{escape(", ".join(scopes) or "open")}</span></h3>',
            f"<p>{_text(operation['summary'])}. {_text(operation.get('description', ''))}</p>",
            _parameters(operation.get("parameters", ())),
            _body(operation.get("requestBody")),
            "<h4>Answers</h4>",
            _table(("Status", "What", "Content"), _answers(operation["responses"])),
        ]
    )


def _parameters(parameters: Iterable[Json]) -> str:
    rows = [
        (
            f"<code>{escape(one['name'])}</code>",
            one["in"] + (", required" if one["required"] else ""),
            f"{_text(one.get('description', ''))} {_type(one['schema'])}",
        )
        for one in parameters
    ]
    return _table(("Parameter", "Where", "What"), rows) if rows else ""


def _body(body: Json | None) -> str:
    if body is None:
        return ""
    content = body["content"][JSON]
    example = content.get("example")
    shown = f"<pre>{escape(json.dumps(example, ensure_ascii=False, indent=2))}</pre>" if example else ""
    return f"<h4>Body{'' if body['required'] else ' (optional)'}</h4><p>{_type(content['schema'])}</p>{shown}"


def _answers(responses: Json) -> Iterator[tuple[str, str, str]]:
    for status, response in responses.items():
        if int(status) < 400:
            kinds = " or ".join(
                f"<code>{escape(media)}</code> {_data(content['schema'])}"
                for media, content in response.get("content", {}).items()
            )
            yield status, _text(response["description"]), kinds
        else:
            allowed = response["content"][JSON]["schema"]["allOf"][1]["properties"]["error_code"]["enum"]
            for code in allowed:
                yield status, f"{escape(MESSAGES[code].en)}<br>{escape(MESSAGES[code].zh)}", f"<code>{code}</code>"


def _data(schema: Json) -> str:
    for part in schema.get("allOf", [schema]):
        if "data" in part.get("properties", {}):
            return f"with {_type(part['properties']['data'])} in <code>data</code>"
    return ""


def _schema(name: str, schema: Json) -> str:
    described = f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{_text(schema.get("description", ""))}</p>'
    if "properties" not in schema:
        return f"{described}<p>{_type(schema)}</p>"
    required = schema.get("required", ())
    rows = [
        (f"<code>{escape(key)}</code>", "required" if key in required else "", _type(value))
        for key, value in schema["properties"].items()
    ]
    return described + _table(("Key", "", "What"), rows)


def _type(schema: Json) -> str:
    """One line about a value."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return ", ".join(_value(one) for one in schema["enum"])
    if "const" in schema:
        return _value(schema["const"])
    parts = [escape(str(schema.get("format") or schema.get("type", "anything")))]
    parts += [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    if "default" in schema and schema["default"] is not None:
        parts.append(f"default {_value(schema['default'])}")
    if schema.get("examples"):
        parts.append("such as " + ", ".join(_value(one) for one in schema["examples"]))
    return ", ".join(parts)


_BOUNDS: Final = {"minimum": "from", "maximum": "to", "maxLength": "characters up to"}


def _value(value: Any) -> str:
    return f"<code>{escape(json.dumps(value, ensure_ascii=False))}</code>"


def _text(markdown: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(markdown, quote=False))


def _table(heads: Iterable[str], rows: Iterable[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{one}</th>" for one in heads)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"
