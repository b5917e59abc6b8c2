"""sweepd on a machine whose clock is what ``clock.json`` beside its configuration says, as soon as there is one.

``{"hours": 2, "boot_id": "…", "synchronized": true}``: how far ahead it is, which boot this is, and whether the kernel
says that NTP keeps it; the machine's own otherwise, and not synchronized.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from daemon import clock
from daemon.cli import main

_FILE = Path(sys.argv[sys.argv.index("--config") + 1]).with_name("clock.json")
_boot_id = clock.boot_id


def _said() -> dict[str, Any]:
    try:
        return dict(json.loads(_FILE.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}


if __name__ == "__main__":
    clock.now = lambda: datetime.now(UTC) + timedelta(hours=_said().get("hours", 0))
    clock.boot_id = lambda: str(_said().get("boot_id", _boot_id()))
    clock.synchronized = lambda: bool(_said().get("synchronized", False))
    main()
