"""Text that people read: nothing in it moves a cursor, begins a line or turns the direction of writing.

Names, reasons and paths come from rows and file systems, so they may hold any character.
"""

from __future__ import annotations

import re
from typing import Final

# Controls (C0, DEL, C1), marks that format or hide text, separators of lines and paragraphs, lone surrogates. The two
# joiners U+200C and U+200D stay: words of some languages need them.
_ACTING: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
_SHOWN: Final = re.compile(f"[{_ACTING}]")
_FIELD: Final = re.compile(rf"[\\{_ACTING}]")
_NAMED: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}


def visible(text: str) -> str:
    r"""Return ``text`` with every such character as its escape: ``\n``, ``\x1b``, ``\u202e``."""
    return _SHOWN.sub(_escape, text)


def field(text: str) -> str:
    """Return ``text`` as one field of a tab-separated line. The backslash is escaped too, so it can be read back."""
    return _FIELD.sub(_escape, text)


def in_json(text: str) -> str:
    """Return a JSON document with every such character in its strings escaped, its own line breaks left alone."""
    return _SHOWN.sub(lambda found: found[0] if found[0] == "\n" else _unicode_escape(found[0]), text)


def _escape(found: re.Match[str]) -> str:
    return _NAMED.get(found[0]) or found[0].encode("unicode_escape").decode("ascii")


def _unicode_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n]:02x}{units[n + 1]:02x}" for n in range(0, len(units), 2))
