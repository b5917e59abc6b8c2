"""Makes what sweepd needs in the storage root while there is room for it: folders, marks, and the reserve."""

from __future__ import annotations

from daemon.storage import folders, marks, reserve
from daemon.storage.root import OpenRoot


def keep_ready(root: OpenRoot) -> None:
    """Make what is missing, as far as there is room. Raises OSError other than for a full file system."""
    try:
        root.mark()
        folders.make_all(root)
        marks.make(root)
    except OSError as error:
        if not reserve.is_full(error):
            raise
        return
    reserve.keep(root)
