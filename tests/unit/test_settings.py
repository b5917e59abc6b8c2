"""What a reload may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.app.settings import RELOADABLE, differences, load_settings
from daemon.config import Config, TlsConfig, load_config
from daemon.errors import DocumentError, ErrorCode, SweepdError


def configuration(folder: Path, text: str = "") -> Config:
    file = folder / "config.yaml"
    file.write_text(f"policies: policies\n{text}", encoding="utf-8")
    (folder / "policies").mkdir(exist_ok=True)
    return load_config(file)


def test_what_is_named_reloadable_is_a_key() -> None:
    for name in RELOADABLE:
        model: type = Config
        for part in name.split("."):
            fields = getattr(model, "model_fields", {})
            assert part in fields, name
            model = TlsConfig if part == "tls" else fields[part].annotation


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", []),
        ("trash: {min_free: 3%}\nserver: {max_batch: 5}\n", ["server.max_batch", "trash.min_free"]),
        ("storage: {root: elsewhere}\nserver: {port: 1}\n", ["server.port", "storage.root"]),
        ("server: {tls: {certificate: a, key: b}}\n", ["server.tls"]),
    ],
)
def test_differences_are_named_by_their_keys(tmp_path: Path, text: str, keys: list[str]) -> None:
    before = configuration(tmp_path)
    assert sorted(differences(before, configuration(tmp_path, text))) == keys


def test_what_needs_a_restart_is_refused_whole(tmp_path: Path) -> None:
    before = configuration(tmp_path)
    configuration(tmp_path, "trash: {min_free: 3%}\nworkers: {deletions: 7}\ncatalog: {timezone: Asia/Shanghai}\n")
    with pytest.raises(SweepdError) as caught:
        load_settings(before.file, before)
    assert caught.value.code is ErrorCode.RELOAD_REFUSED
    assert caught.value.details["keys"] == ["catalog.timezone", "workers.deletions"]
    assert "workers.deletions (4 now, 7 in the file)" in str(caught.value)
    assert "restart" in str(caught.value)


def test_a_mistake_in_a_policy_is_told_with_its_place(tmp_path: Path) -> None:
    before = configuration(tmp_path)
    (tmp_path / "policies" / "a.yaml").write_text("version: 1\npolicies: [{name: 7}]\n", encoding="utf-8")
    with pytest.raises(DocumentError) as caught:
        load_settings(before.file, before)
    assert str(tmp_path / "policies" / "a.yaml:2:") in str(caught.value)
