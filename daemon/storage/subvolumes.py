"""Read-only subvolumes, as snapshots of btrfs are: no mounts, but what they hold cannot be removed."""

from __future__ import annotations

import errno
import os
from typing import Final

_WHAT: Final = "it is or lies in a read-only subvolume"


def own_fault(error: OSError, fd: int, home: int) -> OSError:
    """``error``, met in the directory ``fd`` below a root of the device ``home``, as that directory's own fault.

    A subvolume refuses changes with EROFS, as a file system does that has become read-only, but has a device number of
    its own, and the file system does not say that it is read-only: EPERM then. Any other error is returned as it is.
    """
    own = error.errno == errno.EROFS and os.fstat(fd).st_dev != home and not os.fstatvfs(fd).f_flag & os.ST_RDONLY
    return OSError(errno.EPERM, _WHAT, error.filename) if own else error
