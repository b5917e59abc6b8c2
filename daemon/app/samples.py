"""The configuration and policies to begin with, which come with sweepd: they only observe, and explain themselves."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from daemon.errors import StartupRefused


def write_samples(config: Path) -> list[str]:
    """Write what is absent of the sample configuration, as ``config``, and of its policies beside it; what was written.

    Nothing is written if ``config`` is there, if its folder is not, or if that holds other YAML files or policies
    already: then the name is more likely wrong. Raises StartupRefused if a file cannot be written.
    """
    sample = files("daemon.app") / "templates"
    policies = dict(_walk(sample / "policies", config.parent / "policies"))
    if config.exists() or not config.parent.is_dir() or _has_others(config.parent, policies):
        return []
    written = []
    # the configuration comes last: as long as it is absent, this is not done
    for path, content in {**policies, config: (sample / "config.yaml").read_text(encoding="utf-8")}.items():
        if not path.exists():
            try:
                path.parent.mkdir(exist_ok=True)
                with path.open("x", encoding="utf-8") as file:
                    file.write(content)
            except OSError as error:
                raise StartupRefused(f"cannot write the sample {path}: {error.strerror or error}") from error
            written.append(f"wrote {path}")
    return written


def _has_others(folder: Path, policies: dict[Path, str]) -> bool:
    ours = {*policies, *(path.parent for path in policies)}
    found = [*folder.glob("*.y*ml"), *(folder / "policies").rglob("*")]
    return any(path not in ours for path in found)


def _walk(folder: Traversable, target: Path) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _walk(entry, target / entry.name)
        elif entry.name.endswith((".yaml", ".json")):
            yield target / entry.name, entry.read_text(encoding="utf-8")
