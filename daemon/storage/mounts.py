"""Which mounts lie below a directory, read from the kernel's own table."""

from __future__ import annotations

import os
import re

_OCTAL = re.compile(rb"\\([0-7]{3})")


def mounts_below(directory_fd: int) -> dict[str, str]:
    """A mount point inside each entry of the directory that has one; empty where the system has no mount table."""
    try:
        top = os.readlink(f"/proc/self/fd/{directory_fd}").encode("utf-8", "surrogateescape").rstrip(b"/") + b"/"
        with open("/proc/self/mountinfo", "rb") as table:
            points = [_unescape(line.split()[4]) for line in table]
    except FileNotFoundError:
        return {}
    below = sorted((point for point in points if point.startswith(top)), reverse=True)
    return {os.fsdecode(point[len(top) :].partition(b"/")[0]): os.fsdecode(point) for point in below}


def _unescape(path: bytes) -> bytes:
    # proc(5): space, tab, newline and backslash are written as three octal digits
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), path)
