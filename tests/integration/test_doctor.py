"""Every fault that is planted has to be found, and told with what to do."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from daemon import clock
from daemon.app.initialise import initialise
from daemon.cli import diagnosis
from daemon.cli.exits import Exit
from daemon.config import load_config
from daemon.doctor import serving
from daemon.doctor.examination import examine
from daemon.doctor.findings import Finding, State
from support.daemons import Installation
from support.postgres import create_pipeline_tables
from support.stores import Store
from support.trees import fill

POLICY = """
version: 1
policies:
  - name: old
    mode: enforce
    schedule: {every: 1d}
    match: {older_than: 30d}
    action: {delete: directory}
"""
NOBODY = 65534


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """One that lacks nothing."""
    made = Installation(tmp_path / "site", f"sqlite:///{tmp_path}/site/var/sweepd.sqlite3", POLICY)
    made.init()
    monkeypatch.setattr(serving.unit, "__defaults__", ((str(tmp_path / "units"),),))
    return made


def configure(site: Installation, **sections: str) -> None:
    """Write a section of the configuration anew."""
    lines = site.config.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.partition(":")[0] not in sections]
    site.config.write_text("\n".join([*kept, *(f"{name}: {text}" for name, text in sections.items())]) + "\n")


def bad(site: Installation) -> list[Finding]:
    return [one for one in examine(site.config) if one.state in (State.WARNING, State.FAILURE)]


def only(site: Installation, check: str, state: State = State.FAILURE) -> Finding:
    """The one finding there is."""
    (finding,) = bad(site)
    assert (finding.check, finding.state) == (check, state), finding
    assert finding.remedy
    return finding


def test_nothing_is_found_where_nothing_is_wrong(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path for path in site.root.rglob("*") if path.is_file())
    assert bad(site) == []
    assert diagnosis.show(site.config, as_json=True) == Exit.OK
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    [unit] = [one for one in said["findings"] if one["check"] == "unit"]
    assert unit["found"] == "no sweepd.service is installed; docs/install.md says how"
    assert {"storage root", "database", "policies", "journal", "limits"} <= {one["check"] for one in said["findings"]}
    assert sorted(path for path in site.root.rglob("*") if path.is_file()) == before, "it changes nothing"


def test_a_mistake_in_the_configuration(site: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    configure(site, trash="{min_fre: 1%}")
    assert f"{site.config}:" in only(site, "configuration").found
    assert diagnosis.show(site.config, as_json=False) == Exit.UNFIT
    assert "-> correct it there" in capsys.readouterr().out


def test_a_mistake_in_a_policy(site: Installation) -> None:
    site.write_policies(POLICY.replace("older_than", "oldr_than"))
    assert "policies.yaml:7:13" in only(site, "policies").found


def test_policies_that_only_look(site: Installation) -> None:
    site.write_policies(POLICY.replace("enforce", "observe"))
    assert "0 of them" in only(site, "policies", State.WARNING).found


def test_a_secret_that_everybody_can_read(site: Installation) -> None:
    configure(site, catalog="{url: 'postgresql://sweepd:hunter2@127.0.0.1:1/x'}")
    site.config.chmod(0o644)
    found = bad(site)
    assert [one.check for one in found] == ["configuration", "database"]
    assert "hunter2" not in str(found)
    assert "chmod o-r" in found[0].remedy


def test_a_token_file_that_others_can_read(site: Installation) -> None:
    file = site.folder / "tokens.yaml"
    file.write_text("version: 1\ntokens: []\n", encoding="utf-8")
    file.chmod(0o644)
    configure(site, server=f"{{port: 0, tokens_file: '{file}'}}")
    assert "chmod 600" in only(site, "tokens", State.WARNING).remedy
    file.chmod(0o666)
    assert "everybody can write" in only(site, "tokens").found
    file.unlink()
    assert "sweepd token create" in only(site, "tokens").remedy


def test_a_database_that_does_not_answer(site: Installation) -> None:
    configure(site, catalog="{url: 'postgresql://sweepd@127.0.0.1:1/x'}")
    assert "start it" in only(site, "database").remedy


def test_a_database_with_an_option_that_does_not_exist(site: Installation) -> None:
    configure(site, catalog="{url: 'postgresql://sweepd@127.0.0.1:1/x?nosuch=1'}")
    assert 'invalid connection option "nosuch"' in only(site, "database").found


def test_a_database_without_the_tables(site: Installation) -> None:
    database = site.folder / "var" / "sweepd.sqlite3"
    database.unlink()
    database.touch()
    assert only(site, "database").remedy == "sweepd init"


def test_a_role_without_rights(site: Installation, postgres_url: str) -> None:
    create_pipeline_tables(postgres_url)
    configure(site, catalog=f"{{url: '{postgres_url}', timezone: UTC}}")
    shutil.rmtree(site.root)
    initialise(load_config(site.config))
    store = Store(postgres_url)
    role = f"poor_{os.getpid()}"
    store.query(f"CREATE ROLE {role} LOGIN")
    try:
        store.query(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        configure(site, catalog=f"{{url: '{postgres_url.replace('sweepd@', f'{role}@')}', timezone: UTC}}")
        assert "GRANT UPDATE, DELETE ON data_pipeline_tasks TO" in only(site, "rights").remedy
    finally:
        store.query(f"DROP OWNED BY {role}")
        store.query(f"DROP ROLE {role}")


def test_a_clock_two_hours_ahead(site: Installation, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create_pipeline_tables(postgres_url)
    configure(site, catalog=f"{{url: '{postgres_url}', timezone: UTC}}")
    shutil.rmtree(site.root)
    initialise(load_config(site.config))
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(hours=2))
    assert "set-ntp" in only(site, "clock").remedy


def test_a_root_that_is_not_mounted(site: Installation) -> None:
    (site.root / ".sweepd").rename(site.folder / "away")
    assert "mount" in only(site, "storage root").remedy


def test_another_root(site: Installation) -> None:
    marker = site.root / ".sweepd" / "root.json"
    marker.write_text(json.dumps({**json.loads(marker.read_text()), "id": "another"}), encoding="utf-8")
    assert "another" in only(site, "storage root").found


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody can get to."""
    with tempfile.TemporaryDirectory(prefix="sweepd-doctor-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def as_nobody(look: Callable[[], list[Finding]]) -> list[tuple[str, str, str]]:
    """What a user without rights finds: check, state and remedy."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        found = [(one.check, str(one.state), one.remedy) for one in look()]
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        text = stream.read()
    os.waitpid(child, 0)
    return [tuple(one) for one in json.loads(text)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_what_the_user_may_not_touch(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Installation(public / "site", f"sqlite:///{public}/site/var/sweepd.sqlite3", POLICY)
    site.init()
    monkeypatch.setattr(serving.unit, "__defaults__", ((str(public / "units"),),))
    for path in (site.folder / "var", site.root, site.root / ".sweepd"):
        os.chown(path, NOBODY, NOBODY)
    for path in (site.folder / "var").iterdir():
        os.chown(path, NOBODY, NOBODY)
    for path in (site.root / ".sweepd").rglob("*"):
        os.chown(path, NOBODY, NOBODY)
    assert as_nobody(lambda: bad(site)) == []
    database = site.folder / "var" / "sweepd.sqlite3"
    for path in (database, database.parent):
        os.chown(path, 0, 0)
        path.chmod(0o755 if path.is_dir() else 0o644)
        ((check, state, remedy),) = as_nobody(lambda: bad(site))
        assert (check, state, f"chown USER {path};" in remedy) == ("database", "failure", True)
        os.chown(path, NOBODY, NOBODY)
    fill(site.root / "task_of_root")
    ((check, state, remedy),) = as_nobody(lambda: bad(site))
    assert (check, state) == ("permissions", "failure")
    assert "setfacl" in remedy
    shutil.rmtree(site.root / "task_of_root")
    os.chown(site.root, 0, 0)
    ((check, state, remedy),) = as_nobody(lambda: bad(site))
    assert (check, state, "chmod g+wx" in remedy) == ("permissions", "failure", True)
    os.chown(site.root, NOBODY, NOBODY)
    os.chown(site.root / ".sweepd", 0, 0)
    ((check, state, remedy),) = as_nobody(lambda: bad(site))
    assert (check, state, "chown -R USER" in remedy) == ("storage root", "failure", True)
    (site.root / ".sweepd").chmod(0o755)
    ((check, state, remedy),) = as_nobody(lambda: bad(site))
    assert (check, state, "chown -R USER" in remedy) == ("writing", "failure", True)


def test_a_file_system_that_runs_full(site: Installation) -> None:
    configure(site, trash="{min_free: 100%}")
    assert "sweep" in only(site, "space", State.WARNING).remedy


def test_something_in_the_quarantine(site: Installation) -> None:
    fill(site.root / ".sweepd" / "quarantine" / "01a20fa8dfe773ee6f15e003b7af" / "01a20fa8dfe773ee6f15e003b7ad")
    assert "by hand" in only(site, "trash", State.WARNING).remedy


def test_a_database_from_an_older_backup(site: Installation) -> None:
    database = site.folder / "var" / "sweepd.sqlite3"
    store = Store(site.url)
    for name in ("task_1", "task_2"):
        store.add_task(name, status="completed")
        fill(site.root / name)
    site.run("delete", "task_1", "--yes")
    kept = database.read_bytes()
    site.run("delete", "task_2", "--yes")
    for leftover in database.parent.iterdir():
        leftover.unlink()
    database.write_bytes(kept)
    assert "accept-database" in only(site, "journal").remedy


def test_an_address_that_is_taken(site: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        configure(site, server=f"{{port: {other.getsockname()[1]}}}")
        other.settimeout(0.1)
        assert "ss -ltnp" in only(site, "port").remedy


@pytest.mark.parametrize(
    ("listens", "state", "asked"),
    [
        ("127.0.0.1:{port} (Stream)", State.OK, False),
        ("[::]:{port} (Stream)", State.OK, False),
        ("[fd00::7]:{port} (Stream)", State.FAILURE, True),
        ("127.0.0.1:1 (Stream)", State.FAILURE, True),
    ],
)
def test_a_daemon_that_systemd_would_start_is_not_asked(
    site: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listens: str, state: State, asked: bool
) -> None:
    """What systemctl prints is that of systemd 252; a connection would start the daemon."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        configure(site, server=f"{{port: {port}}}")
        said = f"ActiveState=active\nListen=/run/sweepd.sock (Stream)\nListen={listens.format(port=port)}"
        script = tmp_path / "bin" / "systemctl"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n", encoding="utf-8")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        monkeypatch.setattr(serving, "_ANSWER_S", 0.2)
        [finding] = [one for one in examine(site.config) if one.check == "port"]
        other.setblocking(False)
        try:
            other.accept()[0].close()
            came = True
        except BlockingIOError:
            came = False
    assert (finding.state, came) == (state, asked)
    assert ("sweepd.socket" in finding.found) is (state is State.OK)


def test_an_address_that_lets_everybody_delete(site: Installation) -> None:
    configure(site, server="{host: 0.0.0.0, port: 0}")
    assert "sweepd token create" in only(site, "address").remedy


def test_a_server_that_listens_nowhere(site: Installation) -> None:
    configure(site, server="{tcp: false}")
    assert only(site, "address").remedy == "server.socket: PATH, or server.tcp: true"


def test_a_certificate_that_is_not_there(site: Installation) -> None:
    configure(site, server="{port: 0, tls: {certificate: c.pem, key: k.pem}}")
    assert "c.pem cannot be read: no such file" in only(site, "tls").found
    tls = Path(__file__).parents[1] / "support" / "tls"
    configure(site, server=f"{{port: 0, tls: {{certificate: '{tls}/certificate.pem', key: '{tls}/key.pem'}}}}")
    assert bad(site) == []


def test_a_socket_whose_place_is_taken_by_a_file(site: Installation) -> None:
    configure(site, server="{port: 0, socket: s}")
    assert bad(site) == []
    (site.folder / "s").touch()
    assert "something else" in only(site, "socket").found
    assert (site.folder / "s").exists()


def test_an_audit_file_that_cannot_be_written(site: Installation) -> None:
    configure(site, audit="{file: away/audit.jsonl}")
    assert "mkdir" in only(site, "audit file").remedy
    (site.folder / "away").mkdir()
    assert bad(site) == []
    (site.folder / "away" / "audit.jsonl").mkdir()
    assert "is a directory" in only(site, "audit file").found


def test_a_unit_that_does_not_cover_the_root(site: Installation, tmp_path: Path) -> None:
    units = tmp_path / "units"
    units.mkdir()
    unit = units / "sweepd.service"
    unit.write_text("[Service]\nProtectSystem=strict\nReadWritePaths=/srv/elsewhere\n", encoding="utf-8")
    assert f"ReadWritePaths={site.root}" in only(site, "unit").remedy
    drop_in = units / "sweepd.service.d" / "root.conf"
    drop_in.parent.mkdir()
    drop_in.write_text(f"[Service]\nReadWritePaths={site.root}\n", encoding="utf-8")
    assert "RequiresMountsFor" in only(site, "unit", State.WARNING).remedy
    drop_in.write_text(f"[Unit]\nRequiresMountsFor={site.root}\n[Service]\nReadWritePaths={site.root}\n")
    assert bad(site) == []


def test_a_database_of_another_storage_root(site: Installation) -> None:
    store = Store(site.url)
    for number in range(8):
        store.add_task(f"task_{number}", status="completed")
        fill(site.root / f"run_{number}", 1)
    finding = only(site, "pairing")
    assert "8 of 8 tasks lack the directory" in finding.found
    assert "8 of 8 directories have no row" in finding.found


def test_tasks_that_cannot_be_deleted(site: Installation) -> None:
    store = Store(site.url)
    for number in range(5):
        store.add_task(f"task_{number}", status="completed", completed_at="2024-01-01 00:00:00")
        (site.root / f"task_{number}").symlink_to(site.root)
    assert site.run("sweep", "old", check=False).returncode == Exit.NOT_DELETED
    *named, more = bad(site)
    assert [one.check for one in (*named, more)] == ["tasks"] * 4
    assert "task_0 failed once in policy old: " in named[0].found
    assert "symbolic link" in named[0].found
    assert "sweepd sweep old --retry" in named[0].remedy
    assert "2 more tasks fail in policy old" in more.found
    again = site.run("sweep", "old").stdout
    assert "5 tasks could not be deleted before; to try again at once: sweepd sweep old --retry" in again
    report = json.loads(site.run("sweep", "old", "--retry", "--json", check=False).stdout)
    assert (report["outcome"], report["failed_count"], report["failed_again_count"]) == ("success", 0, 5)
    assert "5 tasks that failed are tried again by its next sweep" in site.run("resume", "old").stdout
    assert bad(site) == []


def test_announcements_that_nobody_hears(site: Installation) -> None:
    site.write_policies(POLICY.replace("match:", "notify: {before: 48h}\n    match:"))
    assert "no webhook is told what old announces" in only(site, "announcements", State.WARNING).found
    store = Store(site.url)
    store.add_task("task", status="completed", completed_at="2024-01-01 00:00:00")
    fill(site.root / "task", 1)
    for _ in range(2):  # the first one announces it
        assert "1 notice period" in site.run("sweep", "old").stdout
        assert len(store.query("SELECT * FROM sweepd_announcements")) == 1
    assert store.query("SELECT * FROM sweepd_notices") == []
    store.query("UPDATE sweepd_announcements SET announced_at = '2024-01-01 00:00:00'")
    assert "deleted 1 of 1 selected tasks" in site.run("sweep", "old").stdout
