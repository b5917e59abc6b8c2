"""The protocol with one thing wrong in it: each of these has to be caught, or the kit proves nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from daemon import clock
from daemon.catalog import ledger, trashed
from daemon.catalog.ledger import State
from daemon.deletion import claim, purge, recovery, retention
from daemon.deletion.choice import Choice
from daemon.deletion.claim import Claim
from daemon.storage import moves, root, standing, syscalls, trash, walk
from daemon.storage.census import NOTHING
from daemon.storage.root import OpenRoot, StorageRoot
from daemon.storage.trash import TrashEntry
from daemon.storage.workers import Workers


def put(owner: Any, name: str, value: Any) -> None:
    """Replace an attribute of a module or a class, in this process, which ends soon."""
    setattr(owner, name, value)


def _commit_before_move() -> None:
    waiting: list[tuple[Any, ...]] = []
    take_in, run = TrashEntry.take_in, Claim.run

    def later(self: Any, *arguments: Any) -> None:
        waiting.append((self, *arguments))

    def then_move(self: Any) -> Any:
        claimed = run(self)
        for arguments in waiting:
            take_in(*arguments)
        return claimed

    put(TrashEntry, "take_in", later)
    put(TrashEntry, "glance", lambda *_: None)
    put(Claim, "run", then_move)


def _no_census() -> None:
    def count(self: Any, deletion_id: str, workers: Any) -> Any:
        names = [name for name in (deletion_id, f"{deletion_id}.purge") if name in os.listdir(self._fd)]
        return workers.count(self._fd, names)[0] if names else NOTHING

    put(TrashEntry, "count", count)


def _no_tombstone() -> None:
    put(ledger, "abort", lambda _connection, entries: {e.deletion_id: State.ABORTED for e in entries})


def _put_back_onto_anything() -> None:
    def rename(from_fd: int, from_name: str, to_fd: int, to_name: str) -> None:
        os.rename(from_name, to_name, src_dir_fd=from_fd, dst_dir_fd=to_fd)

    put(moves, "rename_noreplace", rename)


def _running_not_asked_again() -> None:
    check = Choice._check

    def lenient(self: Any, request: Any, locked: Any, directory: Any) -> None:
        if locked is None or not locked.running:
            check(self, request, locked, directory)

    put(Choice, "_check", lenient)


def _guard_not_asked() -> None:
    put(Choice, "_guarded", lambda *_: {})


def _manifest_after_move() -> None:
    write, sync = TrashEntry.write_manifest, TrashEntry.sync
    waiting: list[Any] = []
    put(TrashEntry, "write_manifest", lambda _self, manifest: waiting.append(manifest))

    def late(self: Any) -> None:
        sync(self)
        write(self, waiting.pop())

    put(TrashEntry, "sync", late)


def _without_sync_of(name: Callable[[str], bool]) -> Callable[[], None]:
    def mutate() -> None:
        fsync = os.fsync

        def some(fd: int) -> None:
            if not name(os.readlink(f"/proc/self/fd/{fd}")):
                fsync(fd)

        put(os, "fsync", some)

    return mutate


def _counted_again() -> None:
    finish = ledger.finish

    def always(connection: Any, counts: Any) -> set[str]:
        finish(connection, counts)
        return set(counts)

    put(ledger, "finish", always)

    settle = recovery.Recovery._settle_directories

    def again(self: Any, entry: Any, manifest: Any) -> Any:
        find = ledger.find

        def forgetful(connection: Any, ids: Any, **options: Any) -> Any:
            found = find(connection, ids, **options)
            for record in found.values():
                object.__setattr__(record, "state", State.COMMITTED)
            return found

        put(ledger, "find", forgetful)
        try:
            return settle(self, entry, manifest)
        finally:
            put(ledger, "find", find)

    put(recovery.Recovery, "_settle_directories", again)


def _follow_links() -> None:
    def follow(parent_fd: int, name: str) -> int:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent_fd)

    for module in (syscalls, walk, trash, root):
        put(module, "open_directory", follow)


def _cross_mounts() -> None:
    def cross(parent_fd: int, name: str) -> int:
        return os.open(name, syscalls.DIRECTORY, dir_fd=parent_fd)

    for module in (syscalls, walk, trash, root):
        put(module, "open_directory", cross)


def _entry_not_locked() -> None:
    def no_lock(trash_fd: int, entry_id: str) -> int | None:
        try:
            return os.open(entry_id, syscalls.DIRECTORY, dir_fd=trash_fd)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                return None
            raise

    put(trash, "_lock", no_lock)


def _uncommitted_is_purged() -> None:
    find = ledger.find

    def credulous(connection: Any, ids: Any, **options: Any) -> Any:
        found = find(connection, ids, **options)
        if not options:
            missing = set(ids) - {*found}
            found |= {d: ledger.Record(_entry(d), State.COMMITTED, clock.now(), None, None, None) for d in missing}
        return found

    put(recovery, "ledger", _Stand(ledger, find=credulous))


def _entry(deletion_id: str) -> ledger.Entry:
    return ledger.Entry(deletion_id, "", "directory", "api", "x", None, None, False, True, False)


class _Stand:
    """A module with something else in one place."""

    def __init__(self, module: Any, **instead: Any) -> None:
        self._module = module
        self.__dict__.update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def _purged_early() -> None:
    retained = trashed.retained
    put(
        retention,
        "trashed",
        _Stand(trashed, retained=lambda connection, **options: retained(connection, **{**options, "expired_at": None})),
    )


def _lost_answer_is_a_no() -> None:
    def settle(self: Any, error: Exception) -> None:
        self._undo()
        raise error

    put(Claim, "_settle", settle)


def _any_root_will_do() -> None:
    @contextmanager
    def unchecked(self: Any) -> Any:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield OpenRoot(fd, fd, self._expected_id())
        finally:
            os.close(fd)

    put(StorageRoot, "open", unchecked)


def _restore_without_intent() -> None:
    put(TrashEntry, "write_manifest", lambda _self, _manifest: None)


def _in_place_without_proof() -> None:
    def careless(deletion_id: str, parent_fd: int, name: str, identity: Any) -> Any:
        return standing.Standing(deletion_id, parent_fd, name, syscalls.open_directory(parent_fd, name), identity)

    put(standing, "_find", careless)


def _in_place_before_commit() -> None:
    stand = standing.stand

    def at_once(*arguments: Any, **options: Any) -> Any:
        found = stand(*arguments, **options)
        found.purge([found.entry_id], Workers(0))
        return found

    put(claim, "stand", at_once)
    put(standing.Standing, "glance", lambda _self: NOTHING)


def _in_place_uncounted() -> None:
    put(purge, "_begin", lambda *_: None)


def _in_a_manifest(path: str) -> bool:
    return path.endswith("manifest.json")


def _in_an_entry(path: str) -> bool:
    return "/trash/" in path and not path.endswith((".json", ".tmp", ".census"))


MUTANTS: dict[str, Callable[[], None]] = {
    "commit before move": _commit_before_move,
    "manifest after move": _manifest_after_move,
    "no census before the purge": _no_census,
    "no tombstone before putting back": _no_tombstone,
    "put back without NOREPLACE": _put_back_onto_anything,
    "running not asked under the lock": _running_not_asked_again,
    "policy not asked under the lock": _guard_not_asked,
    "manifest not synced": _without_sync_of(_in_a_manifest),
    "entry not synced": _without_sync_of(_in_an_entry),
    "trash not synced": _without_sync_of(lambda path: path.endswith("/trash")),
    "root not synced after the move": _without_sync_of(lambda path: path.endswith("/root")),
    "census not synced": _without_sync_of(lambda path: path.endswith(".census.tmp")),
    "purge counted again": _counted_again,
    "symlinks followed": _follow_links,
    "mounts crossed": _cross_mounts,
    "entry not locked": _entry_not_locked,
    "uncommitted entry purged": _uncommitted_is_purged,
    "purged before its time": _purged_early,
    "lost answer of COMMIT taken for a no": _lost_answer_is_a_no,
    "root not identified": _any_root_will_do,
    "restore without a manifest": _restore_without_intent,
    "in place without a proof of identity": _in_place_without_proof,
    "in place before the commit": _in_place_before_commit,
    "in place without counts in the journal": _in_place_uncounted,
}


def apply(name: str | None) -> None:
    """Make this process wrong in that way."""
    if name is not None:
        MUTANTS[name]()
