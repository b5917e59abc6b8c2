"""What fails after the files were read leaves everything as it was: the policies, the metrics, the certificate."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import support
from daemon.app.initialise import initialise
from daemon.app.readiness import Readiness
from daemon.app.reloading import Reloader
from daemon.app.services import Services, build
from daemon.app.settings import Current, Settings
from daemon.app.supervisor import Supervisor
from daemon.catalog.suspensions import find
from daemon.config import Config, load_config
from daemon.errors import CatalogUnavailable
from daemon.web.door import Door, prepare
from daemon.web.tls import LiveTls, server_context

POLICY = """
version: 1
policies:
  - {{name: {name}, schedule: {{every: 1h}}, match: {{older_than: 30d}}, action: {{delete: directory}}}}
"""


def write(folder: Path, name: str) -> None:
    (folder / "policies" / "p.yaml").write_text(POLICY.format(name=name), encoding="utf-8")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    for name in ("certificate", "key"):
        shutil.copyfile(Path(support.__file__).parent / "tls" / f"{name}.pem", tmp_path / f"{name}.pem")
    (tmp_path / "policies").mkdir()
    write(tmp_path, "old")
    file = tmp_path / "config.yaml"
    file.write_text("server: {tls: {certificate: certificate.pem, key: key.pem}}\ninventory: {enabled: false}\n")
    made = load_config(file)
    initialise(made)
    return made


@pytest.fixture
def services(config: Config) -> Iterator[Services]:
    with build(config) as made:
        yield made


@pytest.fixture
def current(services: Services, config: Config) -> Current:
    return Current(Settings(config, services.load_policies()))


@pytest.fixture
def supervisor(services: Services, current: Current) -> Iterator[Supervisor]:
    """One that has begun its work."""
    readiness = Readiness()
    made = Supervisor(services, current, readiness)
    made.start()
    end = time.monotonic() + 30
    while readiness.snapshot()["scheduler"] is not None:
        assert time.monotonic() < end
        time.sleep(0.02)
    yield made
    made.stop()


@pytest.fixture
def tls(config: Config) -> LiveTls:
    assert config.server.tls is not None
    return LiveTls(server_context(config.server.tls))


@pytest.fixture
def reloader(services: Services, current: Current, supervisor: Supervisor, config: Config, tls: LiveTls) -> Reloader:
    door = Door(config.server)
    door.rules = prepare(config.server)
    return Reloader(services, current, supervisor, door, tls)


def exposed(services: Services) -> set[str]:
    lines = services.metrics.render().decode().splitlines()
    return {line.partition('policy="')[2].partition('"')[0] for line in lines if 'policy="' in line}


def test_the_catalog_goes_away_in_the_middle(
    reloader: Reloader, services: Services, current: Current, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_arguments: object) -> None:
        raise CatalogUnavailable("gone")

    write(tmp_path, "new")
    with monkeypatch.context() as patch:
        patch.setattr(f"{find.__module__}.find", lost)
        with pytest.raises(CatalogUnavailable):
            reloader.reload("test")
    assert [policy.name for policy in current.policies.policies] == ["old"]
    assert exposed(services) == {"old"}
    assert reloader.reload("test").policies == ("new",)
    assert exposed(services) == {"new"}


def test_the_certificate_is_the_one_that_was_checked(
    reloader: Reloader,
    supervisor: Supervisor,
    current: Current,
    tls: LiveTls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before, adopt = tls.context, supervisor.adopt

    def interrupted(settings: Settings) -> None:
        (tmp_path / "key.pem").write_text("half written", encoding="utf-8")
        adopt(settings)

    monkeypatch.setattr(supervisor, "adopt", interrupted)
    write(tmp_path, "new")
    reloader.reload("test")
    assert [policy.name for policy in current.policies.policies] == ["new"]
    assert tls.context is not before
