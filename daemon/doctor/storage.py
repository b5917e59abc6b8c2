"""The storage root: there, the right one, writable, with room, its tasks within reach, its trash in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from daemon.app.services import Services
from daemon.config import Config
from daemon.deletion.stuck import why
from daemon.doctor.findings import Finding, failure, ok, skipped, warning
from daemon.errors import CatalogNotReady, CatalogUnavailable, SweepdError
from daemon.storage import rehearsing, reserve, space, trash
from daemon.storage.root import OpenRoot
from daemon.storage.syscalls import has_openat2

_OWN: Final = "run this as the daemon's user, whose the folder has to be: chown -R USER {path}/.sweepd"
_LOOKED_AT: Final = 200
_NAMED: Final = 3
_FEW_INODES: Final = 0.01
_REMOTE: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse", "fuseblk", "9p"})


def storage(services: Services) -> Iterator[Finding]:
    """In the order in which one stands on the other; the first that fails ends it."""
    path = services.root.path
    try:
        with services.root.open() as root:
            yield ok("storage root", f"{path}, identity {root.root_id}")
            yield from _inside(services, root)
    except (CatalogUnavailable, CatalogNotReady):
        yield skipped("storage root", "its identity is known to the database, which cannot be asked")
    except SweepdError as error:
        denied = isinstance(error.__cause__, PermissionError)
        remedy = _OWN.format(path=path) if denied else f"mount the file system of {path}; if it is new: sweepd init"
        yield failure("storage root", str(error), remedy)


def _inside(services: Services, root: OpenRoot) -> Iterator[Finding]:
    config, path = services.config, services.root.path
    kind, options = _mount(path)
    if "ro" in options:
        yield failure("mount", f"{path} is mounted read-only", f"mount -o remount,rw the file system of {path}")
        return
    if kind in _REMOTE:
        hint = "test it with a task of your own first: renames and syncs there are the server's business"
        yield warning("mount", f"{path} lies on {kind}", hint)
    else:
        yield ok("mount", f"{kind}, writable")
    try:
        rehearsing.rehearse(root)
    except OSError as error:
        if reserve.is_full(error):
            yield warning(
                "writing",
                f"{path} is full; {reserve.left(root)} files of the reserve are left",
                "sweep: a directory that cannot be moved for want of room is removed where it stands",
            )
            return
        yield failure(
            "writing",
            f"a rehearsal of a deletion in {path}/.sweepd failed: {error.strerror or error}",
            _OWN.format(path=path),
        )
    else:
        yield ok("writing", "directories can be made, synced, moved and removed")
        if kind not in _REMOTE:
            yield from _movable(root)
    if not has_openat2():
        hint = "it works, with more calls: a kernel from 5.6 on, or a system call filter that allows openat2"
        yield warning("openat2", "the kernel, or a filter, refuses openat2", hint)
    yield _reach(path, root)
    yield _room(config, root)
    yield from _trash(services, root)


def _movable(root: OpenRoot) -> Iterator[Finding]:
    """Of the directories that people have: one of its own, just made, says nothing about them."""
    found = rehearsing.unmovable(root, _LOOKED_AT)
    if found:
        yield warning(
            "moving",
            f"the file system does not move {len(found)} task directories ({', '.join(found[:3])}): they lie in a "
            "lower layer of an overlay, or have another project id than the storage root",
            "write in_place: true into the action of a policy with delete, or give them the root's project id",
        )


def _reach(path: Path, root: OpenRoot) -> Finding:
    if not rehearsing.may_take_from(root):
        return failure(
            "permissions",
            f"{_user()} may not write to {path}, so no task directory can be moved out of it",
            f"put the daemon's user into the group of {path} and chmod g+wx {path}, or setfacl -m u:USER:rwx {path}",
        )
    found = rehearsing.reach(root, _LOOKED_AT)
    if found.foreign_in_sticky_root:
        return failure(
            "permissions",
            f"{path} has the sticky bit, and others own directories in it ({', '.join(found.examples)})",
            f"chmod -t {path}, or run the daemon as the owner of the directories",
        )
    if found.out_of_reach:
        return failure(
            "permissions",
            f"{found.out_of_reach} of {found.looked_at} task directories cannot be emptied by {_user()}: "
            + ", ".join(found.examples),
            f"let the pipeline write with umask 002 in a group that the daemon is in (chmod g+s {path}), "
            f"or: setfacl -R -m u:USER:rwX -d -m u:USER:rwX {path}",
        )
    return ok("permissions", f"{found.looked_at} task directories looked at, all within reach")


def _room(config: Config, root: OpenRoot) -> Finding:
    disk = space.look(root.fd)
    least = config.trash.min_free.of(disk.size_bytes)
    said = f"{disk.available_bytes / 1e9:.1f} GB of {disk.size_bytes / 1e9:.1f} GB available"
    if disk.available_bytes < least:
        return warning("space", said, "it is below trash.min_free, so the trash is purged early: sweep, or add a quota")
    if disk.inodes and disk.inodes - disk.used_inodes < disk.inodes * _FEW_INODES:
        return warning("space", f"{disk.inodes - disk.used_inodes} inodes left", "sweep, or add a quota of inodes")
    return ok("space", said)


def _trash(services: Services, root: OpenRoot) -> Iterator[Finding]:
    path = services.root.path
    unsettled, aside, stuck = trash.entry_ids(root), trash.quarantined_ids(root), services.retention.stuck()
    if aside:
        yield warning(
            "trash",
            f"{len(aside)} directories in {path}/.sweepd/quarantine, whose deletion could not be made sense of",
            "look at them and move them where they belong, or remove them by hand; docs/operations.md says how",
        )
    for record in stuck[:_NAMED]:
        said, _, remedy = str(why(record)).partition("; ")
        yield warning("trash", f"the deletion of {record.entry.task_id} is not finished: {said}", remedy)
    if len(stuck) > _NAMED:
        yield warning("trash", f"{len(stuck) - _NAMED} more deletions are not finished", "sweepd trash lists them all")
    if unsettled and not stuck:
        hint = "a running daemon is at them, or settles them at its next start; if they stay, its log says why"
        yield warning("trash", f"{len(unsettled)} entries are not settled", hint)
    if not unsettled and not aside and not stuck:
        yield ok("trash", "in order")


def _mount(path: Path) -> tuple[str, frozenset[str]]:
    """Kind and options of the file system that ``path`` lies on, from proc(5), mountinfo."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    options = frozenset({"ro"} if os.statvfs(path).f_flag & os.ST_RDONLY else ())
    try:
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            fields = line.split()
            if fields[2] == wanted:
                return fields[fields.index("-") + 1].partition(".")[0], options
    except OSError:
        pass
    return "an unknown file system", options


def _user() -> str:
    return f"user {os.geteuid()}"
