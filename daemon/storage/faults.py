"""What an OSError from the storage root means: for one task, or for the whole root."""

from __future__ import annotations

import errno

from daemon.errors import ErrorCode, RootUnavailable, SweepdError, TaskRefused

_ROOT_FAULTS = {errno.EROFS, errno.EIO, errno.EUCLEAN, errno.ENODEV, errno.ENXIO}
_PERMISSION = {errno.EACCES, errno.EPERM}


def explain(error: OSError, task_id: str, doing: str) -> SweepdError:
    """Translate ``error``, met while ``doing`` something to ``task_id``, into the error its caller reports.

    A fault of the file system itself (read-only, I/O error, corruption) becomes RootUnavailable, so that
    everything on that root stops; everything else, a stale handle of NFS as well, stays that one task's.
    """
    path = printable(error.filename) if isinstance(error.filename, str) else task_id
    reason = errno.errorcode.get(error.errno or 0, "unknown error")
    what = f"{doing} failed at {path}: {error.strerror or error} ({reason})"
    details: dict[str, object] = {"task_id": task_id, "path": path, "errno": reason}
    if is_of_root(error):
        return RootUnavailable(
            f"{what}; the storage root needs attention before anything else is deleted", details=details
        )
    if error.errno in _PERMISSION:
        remedy = (
            "give the daemon's user write permission there, clear the immutable flag (lsattr, chattr -i), or make the "
            "subvolume writable (btrfs property set PATH ro false)"
        )
        return TaskRefused(f"{what}; {remedy}", code=ErrorCode.PERMISSION_DENIED, details=details)
    if error.errno == errno.EXDEV:
        remedy = "unmount it first: what is mounted inside a task directory is not the task's"
        return TaskRefused(f"{what}; a mount lies there; {remedy}", code=ErrorCode.UNSAFE_DIRECTORY, details=details)
    return TaskRefused(f"{what}; try again when that is put right", code=ErrorCode.DELETION_FAILED, details=details)


def is_of_root(error: OSError) -> bool:
    """Whether the file system itself fails, and not one directory of it alone."""
    return error.errno in _ROOT_FAULTS


def is_of_full_disk(error: SweepdError) -> bool:
    """Whether it was refused for want of room, and may be done once there is some."""
    return error.details.get("errno") in ("ENOSPC", "EDQUOT")


def printable(path: str) -> str:
    """``path`` as text that any log and terminal takes: undecodable bytes and control characters as %XX."""
    return "".join(c if c.isprintable() else _percent(c) for c in path)


def _percent(character: str) -> str:
    # That range is how Python shows a byte that is no UTF-8; other surrogates are just odd.
    escaped = "\udc80" <= character <= "\udcff"
    data = character.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return "".join(f"%{byte:02X}" for byte in data)
