"""``make boot``: the units under a real systemd. Ends with 0 if all is well, 1 if not, 77 if it could not be tried."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from boot.checks import CHECKS
from boot.machine import NotRun, booted

_NOT_RUN = 77


def main() -> int:
    """Boot, check, and say of each check what was seen."""
    began = time.monotonic()
    failed = 0
    try:
        with tempfile.TemporaryDirectory(prefix="sweepd-boot-") as folder, booted(Path(folder)) as machine:
            Path(folder).chmod(0o755)  # its contents are seen by the machine's users
            print(f"booted: {machine.say('systemctl', '--version').splitlines()[0]}, {time.monotonic() - began:.1f} s")
            for check in CHECKS:
                try:
                    print(f"ok      {check.__name__}: {check(machine)}", flush=True)
                except AssertionError as error:
                    failed += 1
                    print(f"FAILED  {check.__name__}: {error}\n{machine.journal()[-1500:]}", flush=True)
    except NotRun as reason:
        print(f"not run: {reason}")
        return _NOT_RUN
    print(f"{len(CHECKS) - failed} passed, {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
