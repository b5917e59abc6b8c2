"""The configuration file: defaults, rules, paths, and that secrets stay secret."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from daemon.app.listening import check_address
from daemon.config import Config, load_config
from daemon.errors import DocumentError, StartupRefused
from daemon.tokens import TokenEntry
from daemon.webhooks import loopback

SECRET = "hunter2-hunter2-hunter2"
Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a configuration to a file of its own and loads it, with nothing but the given environment."""

    def _load(text: str, **environ: str) -> Config:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return load_config(path, environ=environ)

    return _load


@pytest.fixture
def refusal(load: Load, tmp_path: Path) -> Callable[..., str]:
    """The problems of a configuration, without the name of the file."""

    def _refusal(text: str, **environ: str) -> str:
        with pytest.raises(DocumentError) as caught:
            load(text, **environ)
        assert SECRET not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        return str(caught.value).replace(f"{tmp_path}/config.yaml:", "")

    return _refusal


Refusal = Callable[..., str]


def test_defaults_are_absolute_and_begin_at_the_folder_of_the_file(load: Load, tmp_path: Path) -> None:
    config = load("server: {}\n")
    assert config.file == tmp_path / "config.yaml"
    assert config.storage.root == tmp_path / "data_pipeline/training_data"
    assert config.policies == tmp_path / "policies"
    assert config.catalog.url.get_secret_value() == f"sqlite:///{tmp_path}/var/sweepd.sqlite3"
    assert config.catalog.timezone is None
    assert config.catalog.statuses == ("pending", "in_progress", "running", "partial_completed", "completed", "failed")
    assert config.catalog.running_statuses == ("running", "in_progress")
    assert (config.server.host, config.server.port, config.server.max_batch) == ("127.0.0.1", 8084, 1000)
    assert (config.server.allowed_hosts, config.server.tokens) == ((), ())
    assert (config.log.level, config.log.format) == ("info", "auto")
    assert (config.workers.deletions, config.workers.sweeps) == (4, 2)


def test_a_file_named_relatively_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text("storage: {root: data}\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("config.yaml"))
    assert config.file == tmp_path / "config.yaml"
    assert config.storage.root == tmp_path / "data"


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match=r"no such file or directory; name it with --config FILE.*`sweepd init`"):
        load_config(tmp_path / "config.yaml")
    with pytest.raises(DocumentError, match=r"not a directory$"):
        load_config(Path("/dev/null/config.yaml"))


def test_an_empty_section_has_its_defaults(load: Load) -> None:
    assert load("server:\n  # port: 1\nlog:\n").server.port == 8084


def test_the_shipped_configuration_is_all_defaults(load: Load) -> None:
    path = Path(__file__).parents[2] / "config.yaml"
    shipped, default = load_config(path, environ={}), load("log: {}\n")
    assert shipped.model_dump(exclude={"file", "storage", "policies", "catalog"}) == default.model_dump(
        exclude={"file", "storage", "policies", "catalog"}
    )
    assert shipped.storage.root == path.parent / "data_pipeline/training_data"
    assert shipped.catalog.url.get_secret_value() == f"sqlite:///{path.parent}/var/sweepd.sqlite3"


def test_the_shipped_configuration_names_every_key() -> None:
    text = (Path(__file__).parents[2] / "config.yaml").read_text()
    for name, section in Config.model_fields.items():
        if name == "file":
            continue
        assert f"\n{name}:" in text
        for key in getattr(section.annotation, "model_fields", {}):
            assert f"\n  # {key}: " in text


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        ("sqlite:///var/x.sqlite3", "sqlite:///{base}/var/x.sqlite3"),
        ("sqlite:///x.db?timeout=5", "sqlite:///{base}/x.db?timeout=5"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("postgres://u:p@db/x", "postgres://u:p@db/x"),
        ("postgresql://db/x", "postgresql://db/x"),
        ("postgresql://u@server:Geh%40im/%@[::1]:5432/x?a=@", "postgresql://u@server:Geh%40im/%@[::1]:5432/x?a=@"),
        ("postgresql+psycopg2:///x?host=/run/pg", "postgresql+psycopg2:///x?host=/run/pg"),
    ],
)
def test_a_catalog_url_is_absolute(load: Load, tmp_path: Path, given: str, loaded: str) -> None:
    config = load(f'catalog: {{url: "{given}"}}\n')
    assert config.catalog.url.get_secret_value() == loaded.format(base=tmp_path)


@pytest.mark.parametrize(
    "url",
    [f"mysql://u:{SECRET}@db/x", SECRET, f"postgresql+asyncpg://u:{SECRET}@db", f"u:{SECRET}@db", "", "sqlite:/x.db"],
)
def test_an_unknown_kind_of_catalog_is_refused_without_its_password(refusal: Refusal, url: str) -> None:
    assert refusal(f'catalog: {{url: "{url}"}}\n') == (
        "1:16: `url`: has to begin with one of sqlite://, postgresql://, postgres://, postgresql+psycopg2://"
    )


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"postgresql://u:{SECRET}@:bad:port/x", "its port has to be a whole number from 1 to 65535"),
        (f"postgresql://u:{SECRET}@::1/x", "its port has to be a whole number from 1 to 65535"),
        (f"postgresql://u:{SECRET}@db:/x", "its port has to be a whole number from 1 to 65535"),
        (f"postgresql://u:{SECRET}@db:99999/x", "its port has to be a whole number from 1 to 65535"),
        (f"postgresql://u:Geh@{SECRET}@127.0.0.1/x", "has more than one `@`: in user and password, write %40"),
        (f"postgresql://u:Geh@{SECRET}/im@127.0.0.1/x", "has more than one `@`: in user and password, write %40"),
        (f"postgres://u:a@b:{SECRET}@db/x", "has more than one `@`: in user and password, write %40"),
    ],
)
def test_what_no_server_could_be_found_by_is_refused_without_its_password(
    refusal: Refusal, url: str, problem: str
) -> None:
    assert refusal(f'catalog: {{url: "{url}"}}\n').startswith(f"1:16: `url`: {problem}")


@pytest.mark.parametrize("rest", ["", "/", "/:memory:", "x.db", "/file:x?mode=memory&uri=true"])
def test_sqlite_without_a_file_is_refused(refusal: Refusal, rest: str) -> None:
    assert refusal(f'catalog: {{url: "sqlite://{rest}"}}\n').startswith("1:16: `url`: SQLite needs a file")


def test_values_come_from_the_environment_and_from_credentials(load: Load, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    config = load(
        """
storage: {root: "${env:DATA}/tasks"}
catalog: {url: "postgresql://sweepd:${credential:password}@db/${env:NAME}"}
server: {port: "${env:PORT}", tokens: ["${credential:password}"], allowed_hosts: ["$${env:HOST}"]}
""",
        DATA="/data",
        NAME="x${env:DATA}",
        PORT="9000",
        CREDENTIALS_DIRECTORY=str(tmp_path),
    )
    assert config.storage.root == Path("/data/tasks")
    assert config.catalog.url.get_secret_value() == f"postgresql://sweepd:{SECRET}@db/x${{env:DATA}}"
    assert config.server.port == 9000
    [token] = config.server.tokens
    assert isinstance(token, SecretStr)
    assert token.get_secret_value() == SECRET
    assert config.server.allowed_hosts == ("${env:HOST}",)
    assert SECRET not in repr(config) + str(config) + config.model_dump_json()


def test_what_cannot_be_filled_in_is_reported_where_it_is(refusal: Refusal, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    text = f"""
storage: {{root: "${{env:ABSENT}}"}}
catalog: {{url: "postgresql://${{credential:absent}}", timezone: "${{vault:{SECRET}}}"}}
server:
  host: ${{{SECRET}}}
  port: "${{env:UNCLOSED"
  tokens: ["${{credential:binary}}", "${{credential:../binary}}", "x${{credential:.}}"]
"""
    form = "`${` begins ${env:NAME} or ${credential:NAME}: write one of them, or `$${` for a literal `${`"
    assert refusal(text, CREDENTIALS_DIRECTORY=str(tmp_path)).splitlines() == [
        "2:17: the environment variable ABSENT is not set",
        "3:16: the credential absent cannot be read: no such file or directory",
        f"3:63: {form}",
        f"5:9: {form}",
        f"6:9: {form}",
        "7:12: the credential binary is not UTF-8 text",
        f"7:36: {form}",
        f"7:63: {form}",
    ]
    assert refusal("policies: ${credential:x}\n") == (
        "1:11: the credential x needs CREDENTIALS_DIRECTORY, which systemd sets for LoadCredential=: type `sudo "
        "sweepd`, the command that docs/install.md installs, or set it to the folder of the credentials"
    )


def test_a_value_from_outside_is_not_repeated_when_it_is_wrong(refusal: Refusal) -> None:
    text = """
catalog: {url: "${env:S}", timezone: "${env:S}", statuses: "${env:S}"}
server: {port: "${env:S}", max_batch: "${env:S}", tokens: "${env:S}"}
log: {level: "${env:S}"}
"""
    assert len(refusal(text, S=SECRET).splitlines()) == 7


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "catalog: {running_statuses: []}",
            "1:29: `running_statuses`: must not be empty: sweepd would not know what is",
        ),
        ("catalog: {statuses: [running, done]}", "1:10: `running_statuses`: names a status that is not in `statuses`:"),
        ("catalog: {running_statuses: [running, runing]}", "1:39: `running_statuses`: names a status that is not in"),
        ("catalog: {timezone: Asia/Shangai}", "1:21: `timezone`: unknown time zone: did you mean `Asia/Shanghai`?"),
        (
            "catalog: {timezone: ../../etc/passwd}",
            "1:21: `timezone`: unknown time zone: write one such as Asia/Shanghai",
        ),
        ("server: {host: ''}", "1:16: `host`: must not be empty"),
        ("server: {host: foo bar}", "1:16: `host`: has to be an address such as 127.0.0.1 or ::1, without port and"),
        ("server: {host: '[::1]'}", "1:16: `host`: has to be an address such as 127.0.0.1 or ::1, without port and"),
        ("server: {host: '127.0.0.1:80'}", "1:16: `host`: has to be an address such as 127.0.0.1 or ::1, without"),
        ("server: {port: 65536}", "1:16: `port`: has to be at most 65535"),
        ("server: {port: -1}", "1:16: `port`: has to be at least 0"),
        ("server: {port: true}", "1:16: `port`: expected a whole number, got a boolean"),
        ("server: {tokens: [short]}", "1:19: `tokens`: a token needs at least 16 characters: make one with"),
        (
            "server: {tokens: [a token with spaces in it]}",
            "1:19: `tokens`: a token is made of visible ASCII characters",
        ),
        ("server: {tokens: [{name: a}]}", "1:19: missing key `hash`"),
        ("server: {tokens: [{name: a, hash: b, scopes: [read]}]}", "1:35: `hash`: has to be sha256: and 64 lower-case"),
        ("server: {tokens: [1]}", "1:19: `tokens`: expected a string, or a mapping with name, hash and scopes, got a"),
        ("server: {trusted_proxies: [example.org]}", "1:28: `trusted_proxies`: has to be an address such as 10.0.0.7"),
        ("server: {trusted_proxies: [10.0.0.7/24]}", "1:28: `trusted_proxies`: has to be an address such as 10.0.0.7"),
        ("server: {tls: {key: a}}", "1:15: missing key `certificate`"),
        ("server: {socket: ''}", "1:18: `socket`: must not be empty"),
        (f"server: {{socket: /{'x' * 120}}}", "1:18: `socket`: the path of a socket has at most 107 bytes"),
        ("server: {max_connections: 7}", "1:27: `max_connections`: has to be at least 8"),
        ("server: {max_batch: 0}", "1:21: `max_batch`: has to be at least 1"),
        ("server: {max_batch: 100001}", "1:21: `max_batch`: has to be at most 100000"),
        ("server: {tokens: }", "1:10: no value here: write one, or remove the key"),
        ("log: {level: inof}", "1:14: `level`: expected one of debug, info, warning, error: did you mean `info`?"),
        ("log: {format: xml}", "1:15: `format`: expected one of auto, json, console, got `xml`"),
        ("workers: {deletions: 65}", "1:22: `deletions`: has to be at most 64"),
        ("workers: {sweeps: 17}", "1:19: `sweeps`: has to be at most 16"),
        ("storage: {root: ' '}", "1:17: `root`: must not be empty"),
        ("policies: [a]", "1:11: `policies`: expected a path, got a list"),
        (
            "inventory: {every: 1}",
            "1:20: `every`: a duration needs a unit: write a number and a unit of w, d, h, m, s, such as "
            "30d, 12h or 1d12h",
        ),
        (
            "inventory: {recount: 0d}",
            "1:22: `recount`: a duration cannot be zero: write a number and a unit of w, d, h, m, s, "
            "such as 30d, 12h or 1d12h",
        ),
        (
            "file: x",
            "1:1: unknown key `file`; known keys: storage, trash, inventory, catalog, server, policies, log, workers",
        ),
        ("serevr: {}", "1:1: unknown key `serevr`: did you mean `server`? known keys:"),
    ],
)
def test_a_wrong_value_is_refused(refusal: Refusal, text: str, problem: str) -> None:
    assert refusal(text + "\n").startswith(problem)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LocalHost"])
def test_a_loopback_host(load: Load, host: str) -> None:
    assert loopback(host)
    assert load(f'server: {{host: "{host}"}}\n').server.is_local


def test_what_the_server_takes(load: Load, tmp_path: Path) -> None:
    entry = f"{{name: ci, hash: 'sha256:{'0a' * 32}', scopes: [read, admin], expires: 2027-01-01}}"
    server = load(
        f"server: {{tcp: false, socket: run/s.sock, tokens_file: t.yaml, tokens: [{entry}, 0123456789abcdef],\n"
        " tls: {certificate: c.pem, key: /k.pem}, trusted_proxies: [unix, 10.0.0.7, '10.1.0.0/16', '::1']}\n"
    ).server
    assert server.is_local
    assert server.has_tokens
    assert (server.socket, server.tokens_file) == (tmp_path / "run/s.sock", tmp_path / "t.yaml")
    assert server.tls is not None
    assert (server.tls.certificate, server.tls.key) == (tmp_path / "c.pem", Path("/k.pem"))
    assert server.trusted_proxies == ("unix", "10.0.0.7/32", "10.1.0.0/16", "::1/128")
    named, plain = server.tokens
    assert isinstance(named, TokenEntry)
    assert (named.name, named.scopes) == ("ci", ("read", "admin"))
    assert isinstance(plain, SecretStr)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("server: {host: 0.0.0.0}", "anybody could delete; set a token, or listen on 127.0.0.1"),
        ("server: {trusted_proxies: [10.0.0.7]}", "a proxy lets other machines in"),
        ("server: {tcp: false}", "server.tcp is off, and there is no server.socket"),
    ],
)
def test_an_address_that_is_open_to_all_or_none_is_refused(load: Load, text: str, problem: str) -> None:
    with pytest.raises(StartupRefused, match=problem):
        check_address(load(text + "\n"))
    for safe in ("host: 0.0.0.0, tokens_file: t", "tcp: false, host: 0.0.0.0, socket: s", "host: '::1'"):
        check_address(load(f"server: {{{safe}}}\n"))


@pytest.mark.parametrize("host", ["fe80::1%eth0", "example.org", "gpu_01", "::"])
def test_a_host_that_others_reach(load: Load, host: str) -> None:
    assert load(f'server: {{host: "{host}"}}\n').server.host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.org", "localhost.example.org"])
def test_not_a_loopback_host(host: str) -> None:
    assert not loopback(host)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("storage: {root: .}", "1:1: {}/var/sweepd.sqlite3 is in the storage root"),
        ("storage: {root: .}", "1:1: {}/policies is in the storage root"),
        ("storage: {root: .}\naudit: {file: logs/audit.jsonl}", "2:15: {}/logs/audit.jsonl is in the storage root"),
        ("storage: {root: policies}", "1:1: {}/policies is in the storage root"),
        ("storage: {root: ..}", "1:1: {}/config.yaml is in the storage root"),
        ("storage: {root: /}", "1:17: sweepd itself is installed in"),
    ],
)
def test_nothing_of_its_own_lies_where_it_deletes(refusal: Refusal, tmp_path: Path, text: str, problem: str) -> None:
    assert problem.format(tmp_path) in refusal(text)


def test_what_cannot_be_a_tasks_may_lie_in_the_root(load: Load) -> None:
    load("storage: {root: .}\npolicies: .config/policies\ncatalog: {url: 'sqlite:///sweepd.sqlite3'}")
