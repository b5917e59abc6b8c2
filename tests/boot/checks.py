"""What the units are to do under a real systemd. Each check says what it saw; AssertionError if that is wrong."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any, Final

from boot.machine import PROJECT, ROOT, Machine, until

API: Final = "http://127.0.0.1:8084"
TASKS: Final = f"{API}/api/v0/data_pipeline/tasks"
_STOP_S: Final = 90.0
_CONFIG: Final = """\
storage: {root: /srv/data_pipeline/training_data}
catalog: {url: "${credential:database_url}"}

policies: policies
log: {format: json}
"""
_POLICY: Final = """\
version: 1
policies: [{name: new, match: {status: failed}, action: {delete: directory}}]
"""
_FEW_SECONDS: Final = "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=2s\nRestartSec=1s\n"


def install(machine: Machine) -> str:
    """As docs/install.md says, with a pipeline of another user whose directories sweepd may enter by an ACL."""
    machine.run("systemd-sysusers")
    machine.run("systemd-tmpfiles", "--create")
    machine.run("useradd", "--create-home", "pipeline")
    machine.write("/etc/sweepd/config.yaml", _CONFIG)
    machine.write("/etc/sweepd/policies/none.yaml", "version: 1\n")
    machine.run(
        "sh", "-c", "chown -R root:sweepd /etc/sweepd/config.yaml /etc/sweepd/policies && chmod -R g+rX /etc/sweepd"
    )
    machine.run("install", "-d", "-o", "pipeline", "-g", "pipeline", "-m", "755", ROOT)
    machine.run("setfacl", "-m", "u:sweepd:rwx,d:u:sweepd:rwx,d:u:pipeline:rwx", ROOT)
    sweepd(machine, "init")
    said = machine.say("id", "sweepd")
    return f"{said}; {machine.say('stat', '-c', '%U %a', ROOT + '/.sweepd')}"


def sweepd(machine: Machine, *arguments: str) -> str:
    """A command as the daemon's user, with the credentials of its unit."""
    return machine.say("sweepd", *arguments)


def starts(machine: Machine) -> str:
    """The unit tells that it is ready, and is."""
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "sweepd")
    until("ready", lambda: machine.run("curl", "-sf", f"{API}/readyz", check=False).returncode == 0)
    assert machine.show("sweepd", "ActiveState") == "active"
    return f"{machine.show('sweepd', 'StatusText')}; {machine.show('sweepd', 'MainPID')} is {_user(machine)}"


def deletes(machine: Machine) -> str:
    """Directories of the pipeline's user, without any capability."""
    for name, mode in (("task_open", None), ("task_closed", "755")):
        make = f"umask 022; mkdir -p {ROOT}/{name}/deep/er && echo x > {ROOT}/{name}/deep/er/file"
        if mode is not None:
            make += f"; chmod {mode} {ROOT}/{name}/deep/er {ROOT}/{name}/deep {ROOT}/{name}"
        machine.run("setpriv", "--reuid=pipeline", "--regid=pipeline", "--clear-groups", "sh", "-c", make)
    many = f"mkdir -p {ROOT}/task_many && cd {ROOT}/task_many && seq 3000 | xargs touch"
    machine.run("setpriv", "--reuid=pipeline", "--regid=pipeline", "--clear-groups", "sh", "-c", many)
    large = _delete(machine, "task_many")  # by the child processes
    assert large["success"], large
    assert "worker_lost" not in machine.journal()
    opened, closed = (_delete(machine, name) for name in ("task_open", "task_closed"))
    assert opened["success"], opened
    assert machine.run("test", "-e", f"{ROOT}/task_open", check=False).returncode == 1
    assert not closed["success"], closed
    assert machine.run("test", "-e", f"{ROOT}/task_closed/deep/er/file", check=False).returncode == 0
    numbers = [answer["data"]["deleted_files_count"] for answer in (opened, large)]
    return f"{numbers} files deleted; after chmod 755: {closed['error_code']}"


def deletes_by_group(machine: Machine) -> str:
    """What belongs to a group that the daemon is in, with umask 002 and without an ACL; not so with umask 022."""
    machine.run("usermod", "--append", "--groups", "pipeline", "sweepd")
    machine.run("systemctl", "restart", "sweepd")
    until("ready", lambda: machine.run("curl", "-sf", f"{API}/readyz", check=False).returncode == 0)
    found = {}
    for name, mask in (("task_group", "002"), ("task_alone", "022")):
        machine.run("install", "-d", "-o", "pipeline", "-g", "pipeline", "-m", "2775", f"{ROOT}/{name}")
        machine.run("setfacl", "-b", "-k", f"{ROOT}/{name}")
        machine.run("chmod", "2775", f"{ROOT}/{name}")  # after that: the ACL's mask was in the group's bits
        make = f"umask {mask}; mkdir {ROOT}/{name}/inner && echo x > {ROOT}/{name}/inner/file"
        machine.run("setpriv", "--reuid=pipeline", "--regid=pipeline", "--clear-groups", "sh", "-c", make)
        found[name] = _delete(machine, name)
    assert found["task_group"]["success"], found
    assert not found["task_alone"]["success"], found
    return f"umask 002: deleted; umask 022: {found['task_alone']['data']['reason']}"


def is_healthy(machine: Machine) -> str:
    """sweepd doctor, as the daemon's user beside the daemon, finds nothing that keeps it from its work."""
    done = machine.run("sweepd", "doctor", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "systemd/system/sweepd.service covers" in done.stdout, done.stdout
    return done.stdout.strip().splitlines()[-1]


def is_confined(machine: Machine) -> str:
    """The same unit with a probe in the daemon's place."""
    text = (PROJECT / "systemd" / "sweepd.service").read_text(encoding="utf-8")
    text = re.sub("(?m)^ExecStart=.*$", f"ExecStart=/usr/bin/python3 /run/probe.py {ROOT}", text)
    text = re.sub("(?m)^(Type|WatchdogSec|ExecReload|Restart|StateDirectory|RuntimeDirectory)=.*$", "", text)
    text = text.replace("[Service]", "[Service]\nType=oneshot\nReadWritePaths=/var/lib/sweepd")
    machine.write("/run/probe.py", (PROJECT / "tests" / "boot" / "probe.py").read_text(encoding="utf-8"))
    machine.write("/run/systemd/system/probe.service", text)
    machine.run("systemctl", "daemon-reload")
    machine.run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")  # refuses connections, if one gets there
    machine.run("systemctl", "start", "probe")
    said = json.loads(next(line for line in machine.journal("probe").splitlines() if line.startswith("{")))
    may = {name for name, outcome in said.items() if outcome == "done"}
    expected = {
        "write in the root",
        "write in its state",
        "read its credential",
        "openat2",
        "renameat2",
        "statx",
        "be idle",
        "ioprio_set",
    }
    assert may == expected, said
    assert said["a connection elsewhere"] != "ECONNREFUSED", "IPAddressDeny= is not in force"
    refused = ", ".join(f"{name}: {outcome}" for name, outcome in said.items() if outcome != "done")
    status = machine.say("grep", "-E", "^(CapBnd|CapEff|NoNewPrivs|Seccomp):", f"/proc/{_pid(machine)}/status")
    return f"{refused}; the daemon: {' '.join(status.split())}"


def reloads(machine: Machine) -> str:
    """systemctl reload takes up a new policy, and refuses a broken one without an end of the daemon."""
    before = _pid(machine)
    machine.write("/etc/sweepd/policies/none.yaml", _POLICY)
    machine.run("systemctl", "reload", "sweepd")
    try:
        until("reloaded", lambda: '"event": "reloaded"' in machine.journal())
        machine.write("/etc/sweepd/policies/none.yaml", "version: 1\npolicies: nonsense\n")
        machine.run("systemctl", "reload", "sweepd")
        until("refused", lambda: '"event": "reload_failed"' in machine.journal())
    finally:
        machine.write("/etc/sweepd/policies/none.yaml", "version: 1\n")
    assert (_pid(machine), machine.show("sweepd", "ActiveState")) == (before, "active")
    return "reloaded, reload_failed; the same process"


def frozen_is_restarted(machine: Machine) -> str:
    """A daemon that does not turn is killed by the watchdog, and comes back."""
    machine.write("/run/systemd/system/sweepd.service.d/quick.conf", _FEW_SECONDS)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "sweepd")
    before, restarts = _pid(machine), int(machine.show("sweepd", "NRestarts"))
    time.sleep(8.0)  # well fed for longer than twice its limit
    assert _pid(machine) == before
    began = time.monotonic()
    machine.run("kill", "-STOP", before)
    until("restarted", lambda: int(machine.show("sweepd", "NRestarts")) > restarts)
    until("ready again", lambda: machine.run("curl", "-sf", f"{API}/readyz", check=False).returncode == 0)
    seconds = time.monotonic() - began
    told = [line for line in machine.journal().splitlines() if "atchdog" in line]
    assert _pid(machine) != before
    assert told
    assert "most recent call first" in machine.journal(), "the log does not tell where the threads were"
    return f"{seconds:.1f} s with WatchdogSec=3s: {told[0]}"


def stops(machine: Machine) -> str:
    """Within its bound, and nothing of it is left."""
    began = time.monotonic()
    machine.run("systemctl", "stop", "sweepd")
    seconds = time.monotonic() - began
    assert seconds < _STOP_S
    assert machine.show("sweepd", "Result") == "success"
    assert machine.run("pgrep", "-u", "sweepd", check=False).stdout == ""
    return f"{seconds:.1f} s"


def is_activated_by_its_socket(machine: Machine) -> str:
    """Systemd listens; the first connection starts the daemon, and a restart refuses none."""
    machine.run("systemctl", "start", "sweepd.socket")
    assert machine.show("sweepd", "ActiveState") == "inactive"
    assert machine.say("stat", "-c", "%U %G %a", "/run/sweepd.sock") == "root sweepd 660"
    by_tcp = machine.say("curl", "-s", f"{API}/livez")
    assert json.loads(by_tcp)["success"]
    by_socket = machine.say("curl", "-s", "--unix-socket", "/run/sweepd.sock", "http://localhost/livez")
    assert json.loads(by_socket)["success"]
    until("ready", lambda: machine.run("curl", "-sf", f"{API}/readyz", check=False).returncode == 0)
    machine.run("systemctl", "--no-block", "restart", "sweepd")
    codes = []
    for _ in range(20):
        asked = machine.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{API}/livez", check=False)
        codes.append((asked.returncode, asked.stdout))
        time.sleep(0.1)
    refused = [code for code, _ in codes if code == 7]  # curl: could not connect
    assert not refused, codes
    assert codes[-1] == (0, "200"), codes
    return f"TCP and Unix socket; {len(codes)} connections during a restart, none refused"


def an_unsafe_socket_is_refused(machine: Machine) -> str:
    """systemd listens to everybody, and there is no token: the daemon does not serve that."""
    machine.run("systemctl", "stop", "sweepd.socket", "sweepd")
    machine.write(
        "/run/systemd/system/sweepd.socket.d/open.conf", "[Socket]\nListenStream=\nListenStream=0.0.0.0:8084\n"
    )
    machine.write("/run/systemd/system/sweepd.service.d/once.conf", "[Service]\nRestart=no\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "sweepd.socket")
    failed = machine.run("systemctl", "start", "sweepd", check=False)
    assert failed.returncode != 0
    told = [line for line in machine.journal().splitlines() if "anybody could delete" in line]
    assert told
    return f"exit status {machine.show('sweepd', 'ExecMainStatus')}: {told[-1]}"


def serves_another_root(machine: Machine) -> str:
    """As docs/install.md says: a drop-in, and the database from a credential."""
    machine.run("systemctl", "stop", "sweepd.socket", "sweepd")
    machine.run("rm", "-r", "/run/systemd/system/sweepd.service.d", "/run/systemd/system/sweepd.socket.d")
    drop_in = re.search(r"(?s)```ini\n(.*?)```", (PROJECT / "docs" / "install.md").read_text(encoding="utf-8"))
    assert drop_in is not None
    machine.run("install", "-d", "-o", "sweepd", "/data/tasks/task_elsewhere")
    machine.run("chown", "sweepd", "/data/tasks")
    machine.run("systemctl", "reset-failed", "sweepd")
    machine.write("/etc/systemd/system/sweepd.service.d/override.conf", drop_in[1])
    machine.write("/etc/sweepd/config.yaml", _CONFIG.replace(ROOT, "/data/tasks"))
    machine.write("/etc/sweepd/credentials/database_url", "sqlite:////var/lib/sweepd/other.sqlite3\n")
    machine.run("rm", "-rf", ROOT)  # nothing may depend on it any more
    sweepd(machine, "init")
    starts(machine)
    deleted = _delete(machine, "task_elsewhere")
    assert deleted["success"], deleted
    return is_healthy(machine)


CHECKS: Final[tuple[Callable[[Machine], str], ...]] = (
    install,
    starts,
    is_healthy,
    deletes,
    deletes_by_group,
    is_confined,
    reloads,
    frozen_is_restarted,
    stops,
    is_activated_by_its_socket,
    an_unsafe_socket_is_refused,
    serves_another_root,
)


def _pid(machine: Machine) -> str:
    return machine.show("sweepd", "MainPID")


def _user(machine: Machine) -> str:
    return machine.say("ps", "-o", "user=", "-p", _pid(machine))


def _delete(machine: Machine, task_id: str) -> dict[str, Any]:
    body = json.dumps({"confirm": True, "force": True})  # it has no row
    sent = ["curl", "-s", "-X", "DELETE", "-H", "Content-Type: application/json", "-d", body]
    answer: dict[str, Any] = json.loads(machine.say(*sent, f"{TASKS}/{task_id}"))
    return answer
