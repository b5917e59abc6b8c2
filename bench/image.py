"""A fresh ext4 in an image file, for figures that do not depend on the machine's own disk and its mount options."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Sparse: room for the trees of one turn, each of some 200,000 files with a block and an inode of its own.
_SIZE = "15G"
_BYTES_PER_INODE = "4096"


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Make the image in ``folder``, mount it through a loop device, and take both away in the end. Takes root."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="sweepd-bench-") as place:
        image, mount = Path(place) / "image", Path(place) / "mount"
        mount.mkdir()
        _run("truncate", "--size", _SIZE, str(image))
        _run("mkfs.ext4", "-q", "-F", "-i", _BYTES_PER_INODE, str(image))
        _run("mount", "-o", "loop", str(image), str(mount))
        try:
            yield mount
        finally:
            _run("umount", str(mount))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
