"""Where the API listens, whether a daemon is at work, and what systemd lets it do."""

from __future__ import annotations

import http.client
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from daemon.app.listening import OTHER_DESCRIPTORS, check_address
from daemon.app.services import Services
from daemon.config import TlsConfig
from daemon.doctor import activation
from daemon.doctor.findings import Finding, failure, ok, skipped, warning
from daemon.errors import StartupRefused, SweepdError
from daemon.storage import sockets
from daemon.storage.locks import signed
from daemon.web.tls import server_context

UNIT_FOLDERS: Final = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/lib/systemd/system",
)
_UNIT: Final = "sweepd.service"
_ANSWER_S: Final = 3.0


def daemon(services: Services) -> Iterator[Finding]:
    """Whether one has the storage root."""
    try:
        note = signed(services.root, "daemon")
    except (SweepdError, OSError):
        yield skipped("daemon", "the storage root has to be there to see who has it")
        return
    yield ok("daemon", "none is running" if note is None else f"process {note['pid']} has the storage root")


def server(services: Services) -> Iterator[Finding]:
    """The address: safe, and free or served by sweepd itself."""
    config = services.config
    try:
        check_address(config)
    except StartupRefused as error:
        nowhere = not config.server.tcp and config.server.socket is None
        anywhere = "server.socket: PATH, or server.tcp: true"
        guarded = "sweepd token create NAME --scope read, with server.tokens_file"
        yield failure("address", str(error), anywhere if nowhere else guarded)
        return
    if config.server.tls is not None:
        yield _tls(config.server.tls)
    if config.server.tcp and config.server.port:
        yield _port(config.server.host, config.server.port, ours=_has_root(services))
    if config.server.socket is not None:
        yield _socket(config.server.socket)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = config.server.max_connections + OTHER_DESCRIPTORS
    if soft not in (resource.RLIM_INFINITY,) and soft < wanted:
        hint = f"LimitNOFILE={wanted} in the unit (this is the limit of this shell), or a lower server.max_connections"
        yield warning("limits", f"{soft} open files, fewer than server.max_connections and 256 take", hint)
    else:
        yield ok("limits", f"{soft} open files")


def unit(services: Services, folders: tuple[str, ...] = UNIT_FOLDERS) -> Iterator[Finding]:
    """Whether the installed unit lets the daemon write where it has to."""
    installed = next((path for folder in folders if (path := Path(folder, _UNIT)).is_file()), None)
    if installed is None:
        yield skipped("unit", f"no {_UNIT} is installed; docs/install.md says how")
        return
    settings = _settings(installed)
    root = services.config.storage.root
    writable = [path.lstrip("-+") for path in settings.get("ReadWritePaths", [])]
    if "strict" in settings.get("ProtectSystem", []) and not any(root.is_relative_to(path) for path in writable):
        yield failure(
            "unit",
            f"{installed} lets the daemon write to {', '.join(writable) or 'nothing'}, and the storage root is {root}",
            f"systemctl edit sweepd: [Service] ReadWritePaths={root}; and [Unit] RequiresMountsFor={root}",
        )
        return
    mounts = settings.get("RequiresMountsFor", [])
    if not any(root.is_relative_to(path) or Path(path).is_relative_to(root) for path in mounts):
        hint = f"systemctl edit sweepd: [Unit] RequiresMountsFor={root}"
        yield warning("unit", f"{installed} does not wait for the file system of {root}", hint)
        return
    yield ok("unit", f"{installed} covers {root}")


def _settings(installed: Path) -> dict[str, list[str]]:
    """Every word that the unit and its drop-ins give each setting; an empty value forgets the earlier ones."""
    found: dict[str, list[str]] = {}
    for file in (installed, *sorted(Path(f"{installed}.d").glob("*.conf"))):
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, equals, value = line.partition("=")
            if equals and not line.lstrip().startswith(("#", ";")):
                words = value.split()
                found[key.strip()] = [*found.get(key.strip(), []), *words] if words else []
    return found


def _tls(tls: TlsConfig) -> Finding:
    try:
        server_context(tls)
    except StartupRefused as error:
        return failure("tls", str(error), "files that the daemon's user can read, in PEM; or correct server.tls")
    return ok("tls", str(tls.certificate))


def _socket(path: Path) -> Finding:
    folder = path.parent
    if not os.access(folder, os.W_OK | os.X_OK):
        return failure("socket", f"{folder} cannot be written to", f"RuntimeDirectory= in the unit, or mkdir {folder}")
    try:
        sockets.look(path)
    except (sockets.SocketTaken, OSError) as error:
        return failure("socket", f"{path}: {error}", f"see what it is: ls -ld {path}; or set another server.socket")
    return ok("socket", str(path))


def _has_root(services: Services) -> bool:
    try:
        return signed(services.root, "daemon") is not None
    except (SweepdError, OSError):
        return True  # that is told elsewhere


def _port(host: str, port: int, *, ours: bool) -> Finding:
    place = f"{host}:{port}"
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return ok("port", f"{place} is free")
    except OSError as error:
        if activation.listens_on(host, port):
            return ok("port", f"{place} is listened on by systemd, which starts sweepd ({activation.SOCKET})")
        if _is_sweepd(host, port):
            if ours:
                return ok("port", f"{place} is served by sweepd")
            hint = "stop it, or set another server.port; one that still waits for its database may be this one"
            return failure("port", f"{place} is served by a sweepd that does not have this storage root", hint)
        reason = (error.strerror or str(error)).lower()
        return failure("port", f"{place}: {reason}", f"ss -ltnp 'sport = :{port}' says who has it; or set server.port")


def _is_sweepd(host: str, port: int) -> bool:
    asking = http.client.HTTPConnection(host, port, timeout=_ANSWER_S)
    with closing(asking), suppress(OSError, http.client.HTTPException):
        asking.request("GET", "/livez", headers={"Host": "localhost"})
        return asking.getresponse().headers.get("Server") == "sweepd"
    return False
