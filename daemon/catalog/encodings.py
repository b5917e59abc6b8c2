"""Text in databases of any encoding: what they have no character for is written, and read, as an escape.

A name in Chinese, in a database of LATIN1, is then ``\\u5f20`` there, instead of the end of a sweep's record.
PostgreSQL keeps any bytes where its encoding is SQL_ASCII: they are taken to be UTF-8, as most are.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from psycopg2 import extensions
from sqlalchemy.engine import Connection

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_PREFIX: Final = "sweepd_"
_ANY_BYTES: Final = frozenset({"SQLASCII", "SQL_ASCII"})
_ESCAPED: Final = "backslashreplace"


def use() -> None:
    """Make psycopg2 write and read so, in this process. What a UTF-8 database has is read as it is: it checks that."""
    codecs.register(_find)
    for name, codec in extensions.encodings.items():
        if not codec.startswith(_PREFIX):
            extensions.encodings[name] = _PREFIX + ("utf_8" if name in _ANY_BYTES else codec.lower().replace("-", "_"))


def name_of(connection: Connection) -> str | None:
    """The database's encoding, if it is not UTF-8."""
    if connection.dialect.name == "sqlite":
        return None
    found = str(connection.execute(sa.select(sa.func.current_setting("server_encoding"))).scalar_one())
    return None if found == "UTF8" else found


def agree(connection: Any) -> None:
    """Speak the database's own encoding on this psycopg2 connection: its server would refuse what it cannot convert."""
    server = connection.get_parameter_status("server_encoding")
    if server is not None and _clean(server) != _clean(connection.encoding):
        connection.set_client_encoding(server)


def _clean(name: str) -> str:
    return "".join(sign for sign in name.upper() if sign.isalnum())


def _find(name: str) -> codecs.CodecInfo | None:
    if not name.startswith(_PREFIX):
        return None
    codec = codecs.lookup(name.removeprefix(_PREFIX))

    def encode(text: str, _errors: str = "strict") -> tuple[bytes, int]:
        # No text of PostgreSQL has a NUL.
        return codec.encode(text.replace("\0", "\\x00"), _ESCAPED)[0], len(text)

    def decode(data: Buffer, _errors: str = "strict") -> tuple[str, int]:
        return codec.decode(bytes(data), _ESCAPED)

    return codecs.CodecInfo(encode, decode, name=name)
