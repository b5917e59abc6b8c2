"""Several statements in one message to the database: there and back takes longer than most of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg2
from sqlalchemy.engine import Connection, Dialect

Step: TypeAlias = tuple[sa.Select[Any] | sa.Insert | sa.Update | sa.Delete | sa.TextClause, Mapping[str, Any]]
"""A statement and its parameters. The statement is one that is made once, since what is put together is kept."""

_NAMED: Final[Dialect] = psycopg2.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
_PARAMETER: Final = re.compile(
    r"(?<!NOT )IN \(__\[POSTCOMPILE_(?P<among>\w+)\]\)|__\[POSTCOMPILE_(?P<literal>\w+)\]|(?<![:\w]):(?P<plain>\w+)"
)


def together(connection: Connection, steps: Sequence[Step]) -> sa.CursorResult[Any]:
    """Execute the statements in this order; the result of the last.

    Each sees what was committed before it began, as if it had been sent alone.
    """
    if connection.dialect.name != "postgresql":
        return [connection.execute(statement, parameters) for statement, parameters in steps][-1]
    text = _joined(tuple((statement, tuple(parameters)) for statement, parameters in steps))
    values = {f"{_prefix(n)}{name}": value for n, (_, given) in enumerate(steps) for name, value in given.items()}
    return connection.execute(text, values)


@lru_cache(maxsize=32)
def _joined(steps: tuple[tuple[Any, tuple[str, ...]], ...]) -> sa.TextClause | sa.TextualSelect:
    texts: list[str] = []
    binds: list[sa.BindParameter[Any]] = []
    for n, (statement, names) in enumerate(steps):
        compiled = statement.compile(dialect=_NAMED, column_keys=names if isinstance(statement, sa.Insert) else None)
        parameters = {name: bind for bind, name in compiled.bind_names.items()}
        texts.append(_PARAMETER.sub(partial(_rewrite, _prefix(n), parameters), compiled.string))
        left = {name: bind for name, bind in parameters.items() if not bind.literal_execute}
        binds += (_renamed(f"{_prefix(n)}{name}", bind) for name, bind in left.items())
    text = sa.text(";\n".join(texts)).bindparams(*binds)
    last = steps[-1][0]
    return text.columns(*last.selected_columns) if isinstance(last, sa.Select) else text


def _rewrite(prefix: str, parameters: Mapping[str, sa.BindParameter[Any]], found: re.Match[str]) -> str:
    """A parameter under its new name. A list is one array: nothing has to be written out for each execution."""
    name = found[str(found.lastgroup)]
    if found.lastgroup == "literal":
        literal = parameters[name].type.literal_processor(_NAMED)
        assert literal is not None
        return literal(parameters[name].value)
    return f"= ANY (:{prefix}{name})" if found.lastgroup == "among" else f":{prefix}{name}"


def _renamed(name: str, bind: sa.BindParameter[Any]) -> sa.BindParameter[Any]:
    kind = sa.ARRAY(bind.type) if bind.expanding else bind.type
    return sa.bindparam(name, type_=kind) if bind.required else sa.bindparam(name, bind.value, type_=kind)


def _prefix(number: int) -> str:
    return f"of{number}_"
