"""A Debian that boots with systemd as its first process, in a container of systemd-nspawn; nothing of it is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = PROJECT / "var" / "boot" / "debian"
ROOT: Final = "/srv/data_pipeline/training_data"
_SUITE: Final = "bookworm"
_PACKAGES: Final = "systemd,systemd-sysv,dbus,python3,curl,acl,procps,iproute2,util-linux"
_BOOT_S: Final = 90.0
_COMMAND_S: Final = 120.0


class NotRun(Exception):
    """This machine does not allow it; the message says why."""


def base() -> Path:
    """The system that is booted: made once, with debootstrap. Raises NotRun."""
    if os.geteuid() != 0:
        raise NotRun("only root can boot a container")
    for program, package in (("systemd-nspawn", "systemd-container"), ("debootstrap", "debootstrap")):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
            raise NotRun(f"{program} is not here: apt-get install {package}")
    if not (CACHE / "complete").exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        CACHE.mkdir(parents=True)
        print(f"making a Debian in {CACHE}, once; some minutes", flush=True)
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(CACHE / "root")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotRun(f"debootstrap failed: {(done.stdout + done.stderr).strip().splitlines()[-1:]}")
        (CACHE / "complete").touch()
    root = CACHE / "root"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not (root / "usr" / "bin" / version).exists():
        raise NotRun(f"the dependencies in .venv are for {version}, which Debian {_SUITE} does not have")
    return root


class Machine:
    """A booted one."""

    def __init__(self, pid: int, console: Path) -> None:
        self._pid = pid
        self._console = console

    def run(self, *command: str, check: bool = True, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        enter = ["nsenter", "--all", "--target", str(self._pid), "--", "/usr/bin/env", "-i"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        done = subprocess.run(
            [*enter, path, "LC_ALL=C.UTF-8", *command],
            input=given,
            capture_output=True,
            text=True,
            timeout=_COMMAND_S,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def say(self, *command: str) -> str:
        return self.run(*command).stdout.strip()

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat > "$1"', "sh", path, given=text)

    def show(self, unit: str, what: str) -> str:
        return self.say("systemctl", "show", "--value", "--property", what, unit)

    def journal(self, unit: str = "sweepd") -> str:
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}").stdout


def until(what: str, condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for it; AssertionError if it does not come."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


@contextmanager
def booted(folder: Path) -> Iterator[Machine]:
    """Boot, with sweepd below /opt/sweepd and its units in place, as docs/install.md has it. Raises NotRun."""
    root = base()
    _install(folder / "opt")
    (folder / "storage").mkdir()
    site = Path(sys.executable).parent.parent / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    units = PROJECT / "systemd"
    binds = {
        folder / "opt": "/opt/sweepd",
        site: "/opt/sweepd/dependencies",
        units / "sweepd.sysusers": "/usr/lib/sysusers.d/sweepd.conf",
        units / "sweepd.tmpfiles": "/usr/lib/tmpfiles.d/sweepd.conf",
        units / "sweepd-command": "/usr/local/bin/sweepd",
        units / "sweepd.service": "/etc/systemd/system/sweepd.service",
        units / "sweepd.socket": "/etc/systemd/system/sweepd.socket",
    }
    console = folder / "console"
    command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={root}", "--volatile=overlay", "--register=no"]
    command += ["--keep-unit", f"--machine=sweepd-boot-{os.getpid()}", "--private-network", "--console=pipe"]
    # For the units' IPAddressDeny=, which systemd does with BPF.
    command += ["--system-call-filter=bpf", "--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON"]
    command += ["--resolv-conf=off", "--timezone=off", "--link-journal=no"]
    command += [f"--bind-ro={here}:{there}" for here, there in binds.items()]
    command += [f"--bind={folder / 'storage'}:/srv/data_pipeline"]
    with console.open("wb") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    try:
        yield _leader(process, console)
    finally:
        process.terminate()  # nspawn tells the first process to power off
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _leader(process: subprocess.Popen[bytes], console: Path) -> Machine:
    end = time.monotonic() + _BOOT_S
    while time.monotonic() < end and process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        for pid in children:
            machine = Machine(int(pid), console)
            if machine.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded"):
                return machine
        time.sleep(0.2)
    said = console.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
    raise NotRun("systemd does not boot in a container here: " + " | ".join(said))


def _install(opt: Path) -> None:
    """What ``make install`` leaves, on the machine's own Python, with the dependencies of this one."""
    version = f"python3.{sys.version_info.minor}"
    site = opt / ".venv" / "lib" / version / "site-packages"
    site.mkdir(parents=True)
    (opt / "dependencies").mkdir()
    shutil.copytree(PROJECT / "daemon", opt / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
    (site / "sweepd.pth").write_text("/opt/sweepd\n/opt/sweepd/dependencies\n", encoding="utf-8")
    (opt / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", "utf-8")
    binaries = opt / ".venv" / "bin"
    binaries.mkdir()
    (binaries / "python").symlink_to(f"/usr/bin/{version}")
    script = binaries / "sweepd"
    script.write_text(
        "#!/opt/sweepd/.venv/bin/python\nimport sys\nfrom daemon.cli import main\nsys.exit(main())\n", "utf-8"
    )
    script.chmod(0o755)
