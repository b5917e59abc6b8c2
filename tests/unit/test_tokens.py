"""Tokens as they are kept: their file, their names, and when they are over."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.errors import DocumentError
from daemon.tokens import Scope, find, hash_of, load_tokens, new_token

HASH = hash_of(b"one")
WHOLE = f"version: 1\ntokens:\n  - {{name: ci, hash: '{HASH}', scopes: [read, delete], expires: 2026-12-31}}\n"


def load(folder: Path, text: str) -> str:
    """The problem of such a file, without its name."""
    path = folder / "tokens.yaml"
    path.write_text(text)
    with pytest.raises(DocumentError) as caught:
        load_tokens(path)
    return str(caught.value).replace(f"{path}:", "")


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(WHOLE)
    [entry] = load_tokens(path)
    assert (entry.name, entry.scopes, entry.token_id) == ("ci", (Scope.READ, Scope.DELETE), HASH[7:19])
    assert entry.is_over(datetime(2026, 12, 31, tzinfo=UTC))
    assert not entry.is_over(datetime(2026, 12, 30, 23, 59, 59, tzinfo=UTC))
    assert find([entry], b"one") is entry
    assert find([entry], b"two") is None
    assert find([], b"one") is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("ci", "a b", "3:12: `name`: a name has 1 to 64 of"),
        ("ci", "0123456789ab", "3:12: `name`: 12 hexadecimal digits are a token's id"),
        (HASH, "hunter2-hunter2", "3:22: `hash`: has to be sha256: and 64"),
        (HASH, HASH.upper(), "3:22: `hash`: has to be sha256: and 64"),
        ("delete", "purge", "3:112: `scopes`: expected one of read, delete, admin"),
        ("read, delete", "", "3:105: `scopes`: name at least one of read, delete, admin"),
        ("2026-12-31", "2026-12-31T10:00:00", "3:130: `expires`: has to be a date"),
        ("2026-12-31", "soon", "3:130: `expires`: has to be a date"),
        ("expires", "expire", "3:121: unknown key `expire`: did you mean `expires`?"),
        ("version: 1", "version: 2", "1:10: `version`: "),
    ],
)
def test_a_wrong_file_says_where_and_shows_no_secret(tmp_path: Path, old: str, new: str, problem: str) -> None:
    found = load(tmp_path, WHOLE.replace(old, new))
    assert found.startswith(problem)
    assert "hunter2" not in found


def test_the_same_token_twice_is_a_mistake(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE + f"  - {{name: other, hash: '{HASH}', scopes: [read]}}\n")
    assert found == "4:5: `tokens`: the same token is here twice: remove one"


def test_a_file_that_everybody_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(WHOLE)
    path.chmod(0o602)
    with pytest.raises(DocumentError, match="everybody can write this file"):
        load_tokens(path)


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such file or directory; `sweepd token create"):
        load_tokens(tmp_path / "tokens.yaml")


def test_new_tokens_are_long_and_never_the_same() -> None:
    made = {new_token() for _ in range(100)}
    assert len(made) == 100
    assert all(token.startswith("sweepd_") and len(token) == 50 for token in made)
