"""What a PromQL expression asks for, by the parser of Prometheus' own grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator

import promql_parser

# Grafana fills these in; the durations have to be some to parse.
_VARIABLES = {"$__rate_interval": "1m", "$__range": "1h", "$__interval": "1m"}


def filled(expr: str) -> str:
    """A dashboard's expression as Prometheus gets it, for all instances and policies."""
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    return re.sub(r"\$\w+", ".+", expr)


def selectors(expr: str) -> Iterator[tuple[str, set[str]]]:
    """Every metric it selects, with the labels it matches. Raises ValueError if it is no PromQL."""
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    for selector in found:
        yield selector.name or "", {matcher.name for matcher in selector.matchers.matchers}
