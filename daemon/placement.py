"""Where sweepd's own files may lie: nowhere that could be taken for a task directory, and deleted as one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from daemon.strict_yaml import Location

# What holds the program itself: a virtual environment, and the interpreter it stands on.
_PROGRAM: Final = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent)


def misplaced(
    root: Path, files: Mapping[Location, Path], folders: Mapping[Location, Path]
) -> Iterator[tuple[Location, str]]:
    """By its place in the configuration, why each of these may not lie where it does.

    A file right in the storage root is nobody's directory, and a name that begins with a dot no task's.
    """
    where = Path(os.path.realpath(root))
    advice = f"is in the storage root {root}, where it could be deleted as a task directory; take another place"
    for location, path in files.items():
        if _first(where, path.parent) is not None:
            yield location, f"{path} {advice}"
    for location, path in folders.items():
        if path == root or _first(where, path) is not None:
            yield location, f"{path} {advice}"
    for path in _PROGRAM:
        if _first(where, path) is not None:
            yield ("storage", "root"), f"sweepd itself is installed in {path}, below this folder; take another one"
            return


def _first(root: Path, path: Path) -> str | None:
    """The directory right in the root that holds ``path`` or is it; None if none does that could be a task's."""
    real = Path(os.path.realpath(path))
    if real == root or not real.is_relative_to(root):
        return None
    name = real.relative_to(root).parts[0]
    return None if name.startswith(".") else name
