"""What tells one directory from another one of its name, on the file systems there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.storage import identity
from daemon.storage.identity import Identity, Proof
from support.processes import ForkServer


def identity_of(path: Path) -> Identity:
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        return identity.look(fd, path.name).identity
    finally:
        os.close(fd)


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_what_is_made_again_is_another_one_and_what_is_moved_is_the_same(tmp_path: Path, where: str) -> None:
    folder = tmp_path if where == "disk" else Path("/dev/shm") / f"sweepd-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    path, moved = folder / "task_1", folder / "moved"
    path.mkdir()
    first = identity_of(path)
    (path / "inside").mkdir()
    path.chmod(0)
    path.rename(moved)
    assert first.compare(identity_of(moved)) is Proof.SAME
    moved.chmod(0o700)
    (moved / "inside").rmdir()
    moved.rmdir()
    path.mkdir()
    assert first.compare(identity_of(path)) is Proof.OTHER
    path.rmdir()
    if where == "memory":
        folder.rmdir()


def test_where_nobody_notes_the_time_of_birth_the_handle_tells(processes: ForkServer, tmp_path: Path) -> None:
    if not processes.run("support.mounts:loops_possible").value:
        pytest.skip("this machine does not let the tests mount a file system out of a file")
    said = processes.run("support.mounts:without_time_of_birth", folder=str(tmp_path)).value
    assert said == {"birth": None, "moved": "same", "reused": True, "replaced": "other"}


@pytest.mark.parametrize(
    ("one", "other", "proof"),
    [
        (Identity(1, 5), Identity(1, 5), Proof.SAME),
        (Identity(1, 5), Identity(2, 5), Proof.OTHER),
        (Identity(1, 5), Identity(1, 6), Proof.OTHER),
        (Identity(1), Identity(1), Proof.UNPROVEN),
        (Identity(1, 5), Identity(1), Proof.UNPROVEN),
        (Identity(1, None, "ab"), Identity(1, None, "ab"), Proof.SAME),
        (Identity(1, None, "ab"), Identity(1, None, "cd"), Proof.OTHER),
        (Identity(1, None, "ab"), Identity(1, 5), Proof.UNPROVEN),
        (Identity(256, 5, "ab"), Identity(256, 5, "ab"), Proof.SAME),
        (Identity(256, 5, "ab"), Identity(256, 5, "cd"), Proof.OTHER),  # a snapshot of a subvolume
        (Identity(256, 5, "ab"), Identity(256, 5), Proof.UNPROVEN),
    ],
)
def test_two_identities_say_the_same_another_or_nothing(one: Identity, other: Identity, proof: Proof) -> None:
    assert one.compare(other) is proof
    assert other.compare(one) is proof
    assert Identity.parse(str(one)) == one


def test_the_longest_signature_fits_into_its_column() -> None:
    earliest = -(2**63) * 10**9  # anybody can set when it was modified, and nobody when it was changed
    longest = identity.Look(Identity(2**64 - 1, 2**64 - 1, "f" * 16), (0, 0), 0, earliest, 2**63)
    assert len(longest.signature) + 1 <= 96
    assert identity.of_one(longest.signature, longest.signature)
