"""How full the file system of the storage root is."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileSystem:
    """All and used of it: bytes and inodes. What is set aside for root counts as free, but not as available."""

    size_bytes: int
    used_bytes: int
    available_bytes: int
    inodes: int
    used_inodes: int

    @property
    def usable_bytes(self) -> int:
        """What anybody but root can use in all: of this, as of ``df``, a full file system uses 100%."""
        return self.used_bytes + self.available_bytes


def look(fd: int) -> FileSystem:
    """The file system that ``fd`` lies on. Raises OSError."""
    found = os.fstatvfs(fd)
    return FileSystem(
        size_bytes=found.f_blocks * found.f_frsize,
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        available_bytes=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        used_inodes=found.f_files - found.f_ffree,
    )
