"""How full the file system of the storage root is, in words."""

from __future__ import annotations

from daemon.app.services import Services
from daemon.sizes import format_size
from daemon.storage.space import FileSystem, look


def measure_space(services: Services) -> FileSystem:
    """What the file system of the root has. Raises RootUnavailable."""
    with services.root.open() as opened:
        return look(opened.fd)


def space_in_words(services: Services, space: FileSystem) -> str:
    """One line: bytes, and inodes where the file system counts them."""
    whole, free = format_size(space.size_bytes), format_size(space.available_bytes)
    said = f"the file system of {services.root.path} is {_share(space.used_bytes, space.size_bytes)} full"
    inodes = f", {_share(space.used_inodes, space.inodes)} of its inodes are used" if space.inodes else ""
    return f"{said}, {free} free of {whole}{inodes}"


def space_json(space: FileSystem) -> dict[str, int]:
    """The same in bytes and inodes."""
    return {
        "total_bytes": space.size_bytes,
        "used_bytes": space.used_bytes,
        "available_bytes": space.available_bytes,
        "inodes": space.inodes,
        "used_inodes": space.used_inodes,
    }


def _share(used: int, whole: int) -> str:
    return f"{100 * used / whole:.0f}%" if whole else "-"
