"""sweepd on a machine whose clock jumps two hours ahead as soon as a file lies beside its configuration."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from daemon import clock
from daemon.cli import main

_AHEAD = Path(sys.argv[sys.argv.index("--config") + 1]).with_name("two-hours-ahead")


def _now() -> datetime:
    return datetime.now(UTC) + timedelta(hours=2 if _AHEAD.exists() else 0)


if __name__ == "__main__":
    clock.now = _now
    main()
