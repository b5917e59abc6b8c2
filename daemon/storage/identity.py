"""Which directory it is: told from another one of the same name, now and after a restart of the machine.

A file system gives the inode of what was removed to the next that is made, so an inode alone proves nothing. Beside it
stands the time of birth, or where the file system has none, its handle, which has the generation of the inode. The
number of a device is never part of it: many file systems get another one with every mount.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Final

from daemon.storage import syscalls
from daemon.storage.syscalls import Status

# The root of every btrfs subvolume; a snapshot has the time of birth of its source as well, and only another handle.
_OF_SUBVOLUMES: Final = 256


class Proof(Enum):
    """What two identities say of each other. UNPROVEN: for anything that deletes, it is not the same."""

    SAME = "same"
    OTHER = "other"
    UNPROVEN = "unproven"


@dataclass(slots=True)  # not frozen: there is one for each directory of every scan, and that would take longer
class Identity:
    """Which directory it is. ``birth_ns`` and ``handle`` are None where the file system does not tell."""

    inode: int
    birth_ns: int | None = None
    handle: str | None = None

    def compare(self, other: Identity) -> Proof:
        """Whether both are of one directory."""
        if self.inode != other.inode:
            return Proof.OTHER
        pairs = ((self.birth_ns, other.birth_ns), (self.handle, other.handle))
        both = [mine == theirs for mine, theirs in pairs if mine is not None and theirs is not None]
        if not all(both):
            return Proof.OTHER
        alike = all((mine is None) == (theirs is None) for mine, theirs in pairs)
        return Proof.SAME if both and alike else Proof.UNPROVEN

    def __str__(self) -> str:
        birth = "" if self.birth_ns is None else f"{self.birth_ns:x}"
        return f"{self.inode:x}.{birth}.{self.handle or ''}"

    @classmethod
    def parse(cls, text: str) -> Identity:
        """The inverse of ``str``. Raises ValueError."""
        inode, birth, handle = text.split(".")
        return cls(int(inode, 16), int(birth, 16) if birth else None, handle or None)


@dataclass(slots=True)
class Look:
    """Something as it is now. ``device`` holds as long as it is mounted; the times are the directory's own."""

    identity: Identity
    device: tuple[int, int]
    mode: int
    mtime_ns: int
    ctime_ns: int

    @property
    def signature(self) -> str:
        """Which directory it is and its own times, as scans keep it: ``identity:mtime:ctime``."""
        return f"{self.identity}:{self.mtime_ns:x}:{self.ctime_ns:x}"

    def is_at(self, fd: int, name: str) -> bool:
        """Whether ``name`` inside ``fd`` is it, as long as it is kept open or has not been gone. Raises OSError."""
        try:
            found = syscalls.status(fd, name)
        except FileNotFoundError:
            return False
        return (found.device, found.inode) == (self.device, self.identity.inode)


def look(fd: int, name: str) -> Look:
    """What ``name`` inside ``fd`` is, or with an empty name ``fd`` itself; never through a symlink. Raises OSError."""
    found = syscalls.status(fd, name)
    return Look(_identity(fd, name, found), found.device, found.mode, found.mtime_ns, found.ctime_ns)


def is_that(fd: int, name: str, identity: Identity) -> bool:
    """Whether ``name`` inside ``fd`` is proven to be that directory. Raises OSError."""
    try:
        return look(fd, name).identity.compare(identity) is Proof.SAME
    except FileNotFoundError:
        return False


def of_one(before: str, now: str) -> bool:
    """Whether two signatures are proven to be of one directory.

    Where the identity does not tell, an unchanged ``ctime`` does: nobody can set it, and what was made since has a
    later one. So what an earlier version has written is comparable as well.
    """
    was, is_now = _parse(before), _parse(now)
    if was is None or is_now is None:
        return False
    proof = was[0].compare(is_now[0])
    return proof is Proof.SAME or (proof is Proof.UNPROVEN and was[1] == is_now[1])


def _identity(fd: int, name: str, found: Status) -> Identity:
    handle = None
    if found.birth_ns is None or found.inode == _OF_SUBVOLUMES:
        raw = syscalls.handle(fd, name)
        handle = None if raw is None else blake2b(raw, digest_size=8).hexdigest()
    return Identity(found.inode, found.birth_ns, handle)


def _parse(signature: str) -> tuple[Identity, int] | None:
    """Identity and ``ctime`` in a signature of this version, or of one before: ``device:inode:mtime:ctime``."""
    parts = signature.split(":")
    try:
        if len(parts) == 3:
            return Identity.parse(parts[0]), int(parts[2], 16)
        if len(parts) == 4:
            return Identity(int(parts[1])), int(parts[3])
    except ValueError:
        pass
    return None
