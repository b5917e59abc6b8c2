"""``make try-package``: builds source package and wheel into dist/, and uses the wheel as one who has only that.

A new venv with the locked runtime dependencies and nothing else, in a folder far from the checkout: version, init,
check, plan, the demo with its daemon, completion and manual. Fails at the first thing that is not as it should be.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).parents[1]
DIST = PROJECT / "dist"
_DEMO_S = 90.0


def main() -> int:
    """Build and try; the exit status."""
    version = re.search(r'__version__ = "(.*)"', (PROJECT / "daemon" / "__init__.py").read_text(encoding="utf-8"))
    assert version is not None
    wheel = _build(version[1])
    with tempfile.TemporaryDirectory(prefix="sweepd-package-") as folder:
        prefix = _install(Path(folder) / "venv", wheel)
        site = Path(folder) / "site"
        site.mkdir()
        _try(prefix, site, version[1])
    print(f"{wheel.relative_to(PROJECT)} and its source package are built, and work where there is nothing else")
    return 0


def _build(version: str) -> Path:
    uv = Path(sys.executable).with_name("uv")
    for old in DIST.glob("sweepd-*"):
        old.unlink()
    # the source package first, and the wheel from that
    _run([uv, "build", "--quiet", "--no-build-isolation", "--out-dir", DIST, PROJECT])
    return DIST / f"sweepd-{version}-py3-none-any.whl"


def _install(prefix: Path, wheel: Path) -> Path:
    _run([sys.executable, "-m", "venv", prefix])
    pip: list[str | Path] = [
        prefix / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    _run([*pip, "--require-hashes", "-r", PROJECT / "requirements" / "runtime.txt"])
    _run([*pip, "--no-deps", "--no-index", wheel])
    _run([prefix / "bin" / "python", "-m", "pip", "check"])
    return prefix


def _try(prefix: Path, site: Path, version: str) -> None:
    sweepd = prefix / "bin" / "sweepd"
    assert _run([sweepd, "--version"], site) == f"sweepd {version}\n"
    said = _run([sweepd, "init"], site)
    assert "wrote config.yaml" in said, said
    assert _run([sweepd, "init"], site) == "everything was ready, nothing was changed\n"
    assert _run([sweepd, "check"], site).startswith("ok: ")
    assert "0 of 0 tasks go" in _run([sweepd, "plan"], site)
    assert _run([sweepd, "test", *sorted((site / "policies" / "tests").iterdir())], site)
    asked = {**os.environ, "_SWEEPD_COMPLETE": "complete_bash", "COMP_WORDS": "sweepd rel", "COMP_CWORD": "1"}
    assert _run([sweepd], site, asked).split() == ["release", "reload"]
    for name in ("man/man1/sweepd.1", "bash-completion/completions/sweepd", "sweepd/systemd/sweepd.service"):
        assert (prefix / "share" / name).is_file(), name
    _demo(sweepd, site)


def _demo(sweepd: Path, site: Path) -> None:
    """The demo makes its sample and serves it; Ctrl-C ends it."""
    with (site / "demo.log").open("wb") as log:
        process = subprocess.Popen([sweepd, "demo", "--port", "0"], cwd=site, stdout=log, stderr=log)
    try:
        address = _address(site / "demo.log")
        with urllib.request.urlopen(f"{address}/api/v0/data_pipeline/tasks?limit=1", timeout=30) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    finally:
        process.kill()
        process.wait()
    assert status in (0, 130), (site / "demo.log").read_text(encoding="utf-8")


def _address(log: Path) -> str:
    end = time.monotonic() + _DEMO_S
    while time.monotonic() < end:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text(encoding="utf-8"))
        if found:
            try:
                urllib.request.urlopen(f"{found[0]}/readyz", timeout=5).close()
                return found[0]
            except OSError:
                pass
        time.sleep(0.1)
    raise AssertionError(f"the demo does not serve:\n{log.read_text(encoding='utf-8')}")


def _run(command: list[str | Path], folder: Path = PROJECT, environment: dict[str, str] | None = None) -> str:
    """Its output; AssertionError with all it said if it fails."""
    known = {name: value for name, value in (environment or os.environ).items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=known, capture_output=True, text=True, check=False)
    said = f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
