"""The units as systemd itself reads them. What they do under a running systemd, ``make boot`` tries."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[3] / "systemd"
MOST_EXPOSED = 1.7  # 0.3 of it for adjtimex, which takes no capability
ROOT = "/srv/data_pipeline/training_data"

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")


def unit(name: str = "sweepd.service") -> str:
    return (UNITS / name).read_text(encoding="utf-8")


def settings(text: str, key: str) -> list[str]:
    return [word for value in re.findall(rf"(?m)^{key}=(.*)$", text) for word in value.split()]


def verified(folder: Path, service: str) -> str:
    """What systemd has to say about the units: nothing, one hopes. It ends with 0 on keys that it does not know."""
    # The only thing that is not here is the installation.
    (folder / "sweepd.service").write_text(service.replace("/opt/sweepd/.venv/bin/sweepd", "/bin/true"), "utf-8")
    shutil.copy(UNITS / "sweepd.socket", folder)
    command = ["systemd-analyze", "verify", str(folder / "sweepd.service"), str(folder / "sweepd.socket")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return f"{done.stdout}{done.stderr}" + (f"exit status {done.returncode}" if done.returncode else "")


@needs_systemd
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    assert verified(tmp_path, unit()) == ""


@needs_systemd
def test_a_word_that_systemd_does_not_know_would_be_noticed(tmp_path: Path) -> None:
    assert "WatchdogSecs" in verified(tmp_path, unit().replace("WatchdogSec=", "WatchdogSecs="))


@needs_systemd
def test_little_is_exposed() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNITS / "sweepd.service")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    exposure = re.search(r"Overall exposure level for sweepd.service: ([0-9.]+)", done.stdout)
    assert exposure is not None, done.stdout + done.stderr
    assert float(exposure[1]) <= MOST_EXPOSED


def test_the_storage_root_is_named_wherever_it_has_to_be() -> None:
    assert settings(unit(), "RequiresMountsFor") == [ROOT]
    assert settings(unit(), "ReadWritePaths") == [ROOT]
    assert ROOT in settings(unit(), "NoExecPaths")  # systemd leaves a writable path out of NoExecPaths=/


def test_nothing_takes_openat2_away() -> None:
    """RestrictSUIDSGID= answers it with ENOSYS, since a filter cannot see its arguments."""
    assert "RestrictSUIDSGID" not in {line.partition("=")[0] for line in unit().splitlines()}
    assert "@system-service" in settings(unit(), "SystemCallFilter")


def test_the_service_waits_for_a_right_clock_and_may_ask_whether_it_is_one() -> None:
    """ProtectClock= and @system-service both take adjtimex away."""
    for order in ("After", "Wants"):
        assert "time-sync.target" in settings(unit(), order)
    assert "ProtectClock" not in {line.partition("=")[0] for line in unit().splitlines()}
    assert "adjtimex" in settings(unit(), "SystemCallFilter")


def test_the_service_and_the_socket_belong_to_the_same_user() -> None:
    [user] = settings(unit(), "User")
    assert settings(unit("sweepd.socket"), "SocketGroup") == [user]
    assert re.search(rf"(?m)^u {user} ", unit("sweepd.sysusers"))
    assert re.search(rf"(?m)^d /var/lib/{user} +0750 {user} {user} ", unit("sweepd.tmpfiles"))


def test_the_command_keeps_a_token_off_every_command_line_and_out_of_the_unit_s_environment(tmp_path: Path) -> None:
    """`ps` shows the one, and `systemctl show` the other, to everybody."""
    fake = tmp_path / "systemd-run"  # tells what it was started with, and what is in the file that the unit would get
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@"; env; for one in "$@"; do case $one in\n'
        "--property=LoadCredential=token:*)\n"
        'echo "file: $(cat "${one##*token:}")"; stat -c "mode: %a" "${one##*token:}";;\n'
        "esac; done; exit 7\n"
    )
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TMPDIR": str(tmp_path), "SWEEPD_TOKEN": "hunter2"}
    command = ["sh", str(UNITS / "sweepd-command"), "tasks", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert [line for line in done.stdout.splitlines() if "hunter2" in line] == ["file: hunter2"]
    assert "mode: 600" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["systemd-run"], "nothing is left"
    del environment["SWEEPD_TOKEN"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "LoadCredential=token:" not in done.stdout
    assert done.stdout.splitlines().index("/opt/sweepd/.venv/bin/sweepd") < done.stdout.splitlines().index("tasks")
