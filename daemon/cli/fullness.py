"""How full the file system of the storage root and what a quota measures are, and what a sweep would do, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from daemon.app.services import Services
from daemon.policy.models import Mode, Policy, Quota
from daemon.sizes import format_size
from daemon.storage.space import FileSystem, look
from daemon.sweep.quota import Forecast, Reading


def measure_space(services: Services) -> FileSystem:
    """What the file system of the root has. Raises RootUnavailable."""
    with services.root.open() as opened:
        return look(opened.fd)


def space_in_words(services: Services, space: FileSystem) -> str:
    """One line: bytes, and inodes where the file system counts them."""
    whole, free = format_size(space.usable_bytes), format_size(space.available_bytes)
    said = f"the file system of {services.root.path} is {_share(space.used_bytes, space.usable_bytes)} full"
    inodes = f", {_share(space.used_inodes, space.inodes)} of its inodes are used" if space.inodes else ""
    return f"{said}, {free} free of {whole}{inodes}"


def space_json(space: FileSystem) -> dict[str, int]:
    """The same in bytes and inodes."""
    return {
        "total_bytes": space.size_bytes,
        "used_bytes": space.used_bytes,
        "available_bytes": space.available_bytes,
        "inodes": space.inodes,
        "used_inodes": space.used_inodes,
    }


def _share(used: int, whole: int) -> str:
    return f"{100 * used / whole:.0f}%" if whole else "-"


def readings_in_words(quota: Quota, readings: Sequence[Reading]) -> Iterator[str]:
    """Say how full what the quota measures is, and if none is at its high mark, that a sweep would do nothing."""
    for reading in readings:
        whole = f", {_share_of(reading)} of the file system" if quota.of in ("filesystem", "root") else ""
        trash = f"; the trash holds {_amount(quota, reading.purgeable)} of it" if reading.purgeable else ""
        yield f"quota: {_whose(quota, reading)} {_takes(quota)} {_amount(quota, reading.used)}{whole}{trash}"
    if not any(reading.used >= reading.high for reading in readings):
        now = " and ".join(_marked(quota, reading) for reading in readings) or "nothing is in use, which"
        yield f"a sweep now would do nothing: {now} is below the high mark {quota.high.text}"


def forecast_in_words(policy: Policy, forecast: Forecast) -> Iterator[str]:
    """Say how full what the quota measures is, and what a sweep would do now."""
    quota = policy.quota
    assert quota is not None
    yield from readings_in_words(quota, forecast.readings)
    full = [reading for reading in forecast.readings if reading.used >= reading.high]
    if not full:
        return
    number = len(forecast.chosen)
    what = f"about {number} of these" if number else "none of these"
    before = "purge the trash first, then " if any(reading.purgeable for reading in full) else ""
    would = f"{before}delete {what}, until {quota.low.text}"
    if forecast.held_back:
        why = "; ".join(breach.message for breach in forecast.held_back)
        most = min(breach.most for breach in forecast.held_back)
        truncates = policy.limits is not None and policy.limits.on_exceed == "truncate" and most > 0
        yield f"{why}: a sweep now {f'would end after the first {most}' if truncates else 'would delete nothing'}"
    elif policy.mode is Mode.ENFORCE:
        yield f"a sweep now would {would}"
    else:
        yield f"a sweep now would do nothing, since the mode is {policy.mode}; in mode enforce it would {would}"


def _whose(quota: Quota, reading: Reading) -> str:
    if quota.of in ("user", "database"):
        return f"{quota.of} {reading.group or '-'}"
    return "the file system" if quota.of == "filesystem" else "the storage root"


def _takes(quota: Quota) -> str:
    return "has in use" if quota.of == "filesystem" else "takes"


def _amount(quota: Quota, value: int) -> str:
    return f"{value} inodes" if quota.measure == "inodes" else format_size(value)


def _marked(quota: Quota, reading: Reading) -> str:
    """What is in use as the marks are written: as a share, which is rounded down, or as an amount."""
    return _share_of(reading) if quota.high.percent is not None else _amount(quota, reading.used)


def _share_of(reading: Reading) -> str:
    return f"{100 * reading.used // reading.total}%" if reading.total else "-"
