"""What a child gives away: each entry is one worker's, however often shares are halved."""

from __future__ import annotations

import json
import mmap
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.storage.pacing import Pace
from daemon.storage.parent import LARGE_DIRECTORY, Parent, Share, Watch


class Entry:
    def __init__(self, inode: int) -> None:
        self._inode = inode

    def inode(self) -> int:
        return self._inode


@cache
def watch() -> Watch:
    """One for all: it holds a descriptor for as long as the process lives."""
    return Watch(Pace(None))


class Told:
    """A child, whose daemon reads what it gave away. ``idle`` others have nothing to do."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._theirs = theirs
        self.page = mmap.mmap(-1, mmap.PAGESIZE)
        self.parent = Parent(theirs, self.page, watch())

    def idle(self, number: int) -> None:
        self.page[0] = number

    def given(self) -> list[dict[str, Any]]:
        found = []
        self._ours.setblocking(False)
        while True:
            try:
                found.append(json.loads(self._ours.recv(100_000)))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()
        self.page.close()


@pytest.fixture
def told() -> Iterator[Told]:
    with closing(Told()) as one:
        yield one


def directory(size: int) -> os.stat_result:
    return os.stat_result((0, 0, 0, 0, 0, 0, size, 0, 0, 0))


def test_half_of_the_names_are_given_away_but_never_the_last(told: Told) -> None:
    told.idle(1)
    told.parent.begin(["above"], None)
    assert told.parent.share_out(["top"], ["a", "b", "c", "d", "e"]) == ["a", "b", "c"]
    assert told.given() == [{"path": ["above", "top"], "names": ["d", "e"], "share": None}]
    assert not told.parent.are_idle(1)  # until the daemon says so again
    assert told.parent.share_out(["top"], ["a"]) == ["a"]
    assert told.parent.share_out([], []) == []
    assert told.given() == []
    many = [str(number) for number in range(60)]
    kept = told.parent.share_out([], many)
    assert kept + told.given()[0]["names"] == many
    assert len(kept) == 44


def test_a_large_directory_is_split_among_those_who_are_idle(told: Told) -> None:
    told.idle(2)
    told.parent.begin(["above"], None)
    assert not told.parent.split(["top", "in"], directory(LARGE_DIRECTORY - 1))
    assert told.parent.split(["top", "in"], directory(LARGE_DIRECTORY))
    assert told.given() == [{"path": ["above", "top"], "names": ["in"], "share": [number, 3]} for number in (1, 2)]
    share = told.parent.take_share()
    assert share == Share(["above", "top"], "in", 0, 3)
    assert told.parent.take_share() is None
    told.idle(1)
    told.parent.halve(share, 999)
    assert told.given() == []
    told.parent.halve(share, 1000)
    assert told.given() == [{"path": ["above", "top"], "names": ["in"], "share": [3, 6]}]
    assert share == Share(["above", "top"], "in", 0, 6)
    told.parent.halve(share, 1000)
    assert told.given() == []  # nobody is idle any more


@given(st.integers(1, 9), st.lists(st.integers(0, 200), max_size=40), st.lists(st.integers(0, 2**40), max_size=50))
def test_every_entry_is_in_one_share_however_they_are_halved(first: int, halved: list[int], inodes: list[int]) -> None:
    with closing(Told()) as told:
        shares = [Share([], "top", number, first) for number in range(first)]
        for number in halved:
            told.idle(1)
            told.parent.halve(shares[number % len(shares)], 1000)
            shares += [Share(one["path"], *one["names"], *one["share"]) for one in told.given()]
    assert len(shares) == len({(share.number, share.count) for share in shares})
    assert max(share.count for share in shares) < 128
    for inode in inodes:
        entry = cast(os.DirEntry[str], Entry(inode))
        assert len([share for share in shares if share.has(entry)]) == 1
