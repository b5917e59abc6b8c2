"""Read-only subvolumes, as snapshots of btrfs are: no mounts, but what they hold cannot be removed."""

from __future__ import annotations

import errno
from typing import Final

_WHAT: Final = "it is or lies in a read-only subvolume"


def own_fault(error: OSError, device: int, home: int) -> OSError:
    """``error``, met in a directory of ``device`` below a root of the device ``home``, as that directory's own fault.

    A subvolume refuses changes with EROFS, as a file system does that has become read-only, and has a device number of
    its own: EPERM then. Any other error is returned as it is.
    """
    if error.errno != errno.EROFS or device == home:
        return error
    return OSError(errno.EPERM, _WHAT, error.filename)
