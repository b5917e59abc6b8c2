"""The configuration file: every key, its default and its rule, and the values it takes from the environment.

A loaded configuration holds absolute paths only; relative ones, defaults included, begin at the folder of the file
that names them. Secrets are `SecretStr` and appear in no message.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo
from pydantic import field_validator as validates

from daemon.durations import Duration
from daemon.errors import DocumentError
from daemon.placement import misplaced
from daemon.references import expand
from daemon.sizes import Space
from daemon.strict_yaml import Location, Mistake, kind, read, suggestion, validate
from daemon.tokens import TokenEntry
from daemon.webhooks import NotificationsConfig, loopback

SECTIONS = ("storage", "trash", "inventory", "catalog", "server", "log", "workers", "reload", "notifications", "audit")
_HOST = re.compile(r"[\w.-]+")
_SCHEMES = ("sqlite", "postgresql", "postgres", "postgresql+psycopg2")
# As SQLAlchemy takes the server's part of an address to pieces.
_SERVER = re.compile(r"(?:[^:/]*(?::[^@]*)?@)?(?P<where>(?:\[[^/?]+\]|[^/:?]*)(?::(?P<port>[^/?]*))?(?:/[^?]*)?)")


def _not_empty(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _integer(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"expected a whole number, got {kind(value)}")
    return value


def _path(value: Any, info: ValidationInfo) -> Any:
    # An empty one, perhaps from an empty variable, would be the folder of the configuration itself.
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise ValueError("must not be empty" if not value.strip() else "a path cannot hold a NUL character")
    base: Path | None = (info.context or {}).get("base")
    return base / value if base and isinstance(value, str | Path) else value


def _token(value: Any) -> Any:
    if isinstance(value, dict):
        return TokenEntry.model_validate(value)
    if isinstance(value, TokenEntry):
        return value
    if not isinstance(value, str | SecretStr):
        raise ValueError(f"expected a string, or a mapping with name, hash and scopes, got {kind(value)}")
    token = value if isinstance(value, str) else value.get_secret_value()
    if len(token) < 16:
        raise ValueError("a token needs at least 16 characters: make one with `openssl rand -hex 32`")
    if not all("!" <= char <= "~" for char in token):
        raise ValueError("a token is made of visible ASCII characters without spaces, or no client could send it")
    return SecretStr(token)


def _proxy(value: str) -> str:
    if value == "unix":
        return value
    try:
        return str(ip_network(value))
    except ValueError:
        raise ValueError(
            "has to be an address such as 10.0.0.7, a network such as 10.0.0.0/24, or unix for the Unix socket"
        ) from None


def _grace(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(hours=1):
        raise ValueError("has to be from 1s to 1h; whoever stops the daemon should wait longer than that")
    return value


def _socket(value: Path | None) -> Path | None:
    if value is not None and len(os.fsencode(value)) > 107:  # unix(7): 108 bytes with the NUL at the end
        raise ValueError("the path of a socket has at most 107 bytes: choose a shorter one")
    return value


def _url(value: SecretStr, info: ValidationInfo) -> SecretStr:
    scheme, found, rest = value.get_secret_value().partition("://")
    if not found or scheme not in _SCHEMES:
        raise ValueError(f"has to begin with one of {', '.join(f'{name}://' for name in _SCHEMES)}")
    if scheme != "sqlite":
        _check_server(rest)
        return value
    name, question, options = rest.removeprefix("/").partition("?")
    if not rest.startswith("/") or not name or ":memory:" in name or name.startswith("file:"):
        raise ValueError("SQLite needs a file: write sqlite:///relative.sqlite3 or sqlite:////absolute/path.sqlite3")
    base: Path | None = (info.context or {}).get("base")
    path = base / name if base else Path(name)
    if "?" in str(path):
        raise ValueError("the path of an SQLite file cannot hold a question mark")
    return SecretStr(f"sqlite:///{path}{question}{options}")


def _check_server(rest: str) -> None:
    parts = _SERVER.match(rest)
    assert parts is not None  # every part of it may be absent
    if "@" in parts["where"]:
        raise ValueError("has more than one `@`: in user and password, write %40 for `@`, %3A for `:`, %2F for `/`")
    port = parts["port"]
    if port is not None and not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65_535):
        raise ValueError(
            "its port has to be a whole number from 1 to 65535; an IPv6 address stands in brackets, and in user and "
            "password %3A stands for `:`"
        )


def _host(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        if not _HOST.fullmatch(value):
            raise ValueError(
                "has to be an address such as 127.0.0.1 or ::1, without port and brackets, or the name of a host"
            ) from None
    return value


def _time_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        zones = zoneinfo.available_timezones()
        if not zones:
            raise ValueError("this machine has no time zone data: install the package tzdata") from None
        hint = suggestion(value, zones)
        raise ValueError("unknown time zone" + (hint if hint != ";" else ": write one such as Asia/Shanghai")) from None
    return value


def _part(value: Any) -> Any:
    if isinstance(value, Space):
        return value
    if not isinstance(value, str):
        raise ValueError(f"expected a share such as 5% or a size such as 50GB, got {kind(value)}")
    return Space.parse(value)


Text: TypeAlias = Annotated[str, AfterValidator(_not_empty)]
AbsolutePath: TypeAlias = Annotated[Path, BeforeValidator(_path)]
TimeZoneName: TypeAlias = Annotated[str, AfterValidator(_time_zone)]
Token: TypeAlias = Annotated[SecretStr | TokenEntry, BeforeValidator(_token)]
Proxy: TypeAlias = Annotated[str, AfterValidator(_proxy)]
FileSystemPart: TypeAlias = Annotated[Space, BeforeValidator(_part)]
CatalogUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_url)]


class Section(BaseModel):
    """Immutable, refuses unknown keys, and treats its defaults like values from the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


class StorageConfig(Section):
    """Where the task directories are."""

    root: AbsolutePath = Path("data_pipeline/training_data")


class CatalogConfig(Section):
    """The pipeline's database. ``timezone`` is the IANA zone its timestamps are in; None is the session's own."""

    url: CatalogUrl = SecretStr("sqlite:///var/sweepd.sqlite3")
    timezone: TimeZoneName | None = None
    statuses: tuple[Text, ...] = ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
    running_statuses: tuple[Text, ...] = ("running", "in_progress")

    @validates("statuses", "running_statuses")
    @classmethod
    def _some(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must not be empty: sweepd would not know what is running")
        return value

    @validates("running_statuses")
    @classmethod
    def _known(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        statuses: tuple[str, ...] = info.data.get("statuses", value)
        for index, status in enumerate(value):
            if status not in statuses:
                raise Mistake("names a status that is not in `statuses`: add it there, or correct it here", index)
        return value


class TlsConfig(Section):
    """The files of HTTPS, in PEM: the certificate with those between it and its root, and its key."""

    certificate: AbsolutePath
    key: AbsolutePath


class ServerConfig(Section):
    """The HTTP server. ``port`` 0 takes any free one; ``max_batch`` is the most tasks one request may name.

    ``tcp`` off leaves the Unix socket at ``socket`` alone. ``max_waiting`` requests may wait for their turn to delete,
    and as many jobs may be unfinished. A job that has ended is forgotten after ``jobs_keep``.
    What is in hand at SIGTERM has ``shutdown_timeout`` to be finished.
    """

    tcp: bool = True
    host: Annotated[Text, AfterValidator(_host)] = "127.0.0.1"
    port: Annotated[int, BeforeValidator(_integer), Field(ge=0, le=65_535)] = 8084
    tls: TlsConfig | None = None
    socket: Annotated[AbsolutePath | None, AfterValidator(_socket)] = None
    allowed_hosts: tuple[Text, ...] = ()
    trusted_proxies: tuple[Proxy, ...] = ()
    tokens: tuple[Token, ...] = ()
    tokens_file: AbsolutePath | None = None
    max_batch: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=100_000)] = 1000
    max_connections: Annotated[int, BeforeValidator(_integer), Field(ge=8, le=100_000)] = 3000
    max_waiting: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=10_000)] = 100
    jobs_keep: Duration = timedelta(days=30)
    shutdown_timeout: Annotated[Duration, AfterValidator(_grace)] = timedelta(seconds=30)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return not self.tcp or loopback(self.host)

    @property
    def has_tokens(self) -> bool:
        """Whether requests need a token, even if there is none at the moment."""
        return bool(self.tokens) or self.tokens_file is not None


class LogConfig(Section):
    """What is logged, and how; ``auto`` is for people on a terminal and JSON everywhere else."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class TrashConfig(Section):
    """When what waits in the trash goes early: as soon as less than ``min_free`` of the file system is free."""

    min_free: FileSystemPart = Space.parse("1%")


class InventoryConfig(Section):
    """How often the storage root is scanned, and after how long a directory is counted again without other cause."""

    enabled: bool = True
    every: Duration = timedelta(hours=1)
    recount: Duration = timedelta(days=7)


class WorkersConfig(Section):
    """How many manual deletions, and how many sweeps, run at the same time.

    ``processes`` remove large directories, more while they wait and processors are idle, at that ``priority``; at most
    ``max_files_per_second``, all in all.
    """

    deletions: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=64)] = 4
    sweeps: Annotated[int, BeforeValidator(_integer), Field(ge=1, le=16)] = 2
    processes: Annotated[int, BeforeValidator(_integer), Field(ge=0, le=16)] = 2
    priority: Literal["idle", "normal"] = "idle"
    max_files_per_second: Annotated[int, BeforeValidator(_integer), Field(ge=1)] | None = None


class ReloadConfig(Section):
    """Whether a change of the configuration or of a policy file reloads them, beside SIGHUP and the API."""

    on_change: bool = False


class AuditConfig(Section):
    """A file that gets a line for each deletion and whatever becomes of it, beside the journal in the database."""

    file: AbsolutePath | None = None


class _ConfigFile(Section):
    storage: StorageConfig = Field(default_factory=StorageConfig)
    trash: TrashConfig = Field(default_factory=TrashConfig)
    inventory: InventoryConfig = Field(default_factory=InventoryConfig)
    catalog: CatalogConfig = Field(default_factory=CatalogConfig)
    server: ServerConfig = Field(default_factory=ServerConfig)
    policies: AbsolutePath = Path("policies")
    log: LogConfig = Field(default_factory=LogConfig)
    workers: WorkersConfig = Field(default_factory=WorkersConfig)
    reload: ReloadConfig = Field(default_factory=ReloadConfig)
    notifications: NotificationsConfig = Field(default_factory=NotificationsConfig)
    audit: AuditConfig = Field(default_factory=AuditConfig)


class Config(_ConfigFile):
    """A whole configuration, and the file it came from."""

    file: Path


def load_config(path: Path, *, environ: Mapping[str, str] | None = None) -> Config:
    """Read and check a configuration file; raises `DocumentError` with everything that is wrong in it.

    ``environ`` (the process's own by default) supplies ``${env:NAME}`` and CREDENTIALS_DIRECTORY.
    """
    path = path.absolute()
    document = read(
        path, if_missing="name it with --config FILE, before the command; `sweepd init` writes one in a folder without"
    )
    if isinstance(document.value, dict):
        document = expand(document, os.environ if environ is None else environ)
        # A section whose keys are all commented out is empty; an absent one needs its defaults made absolute as well.
        filled: dict[str, Any] = {name: {} for name in SECTIONS if document.value.get(name) is None}
        document = replace(document, value={**document.value, **filled})
    parsed = validate(document, _ConfigFile, context={"base": path.parent})
    config = Config(file=path, **{name: getattr(parsed, name) for name in _ConfigFile.model_fields})
    problems = [document.problem(location, message) for location, message in _misplaced(config)]
    if problems:
        raise DocumentError(problems)
    return config


def _misplaced(config: Config) -> Iterator[tuple[Location, str]]:
    server, tls, url = config.server, config.server.tls, config.catalog.url.get_secret_value()
    files: dict[Location, Path | None] = {
        (): config.file,
        ("catalog", "url"): Path(url.removeprefix("sqlite:///").partition("?")[0])
        if url.startswith("sqlite")
        else None,
        ("audit", "file"): config.audit.file,
        ("server", "socket"): server.socket,
        ("server", "tokens_file"): server.tokens_file,
        ("server", "tls", "certificate"): None if tls is None else tls.certificate,
        ("server", "tls", "key"): None if tls is None else tls.key,
    }
    given = {location: path for location, path in files.items() if path is not None}
    return misplaced(config.storage.root, given, {("policies",): config.policies})
