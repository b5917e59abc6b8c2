"""The client and the command line in front of a server of this process: on a thread, as both are synchronous."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from daemon.cli import commands_of_sweepd
from daemon.cli.exits import guarded
from daemon.client import Client
from integration.web.installation import Api

_T = TypeVar("_T")


async def ask(api: Api, function: Callable[[Client], _T], **options: Any) -> _T:
    """What ``function`` makes of a client."""

    def run() -> _T:
        with Client(api.base, **options) as client:
            return function(client)

    return await asyncio.to_thread(run)


class Sweepd:
    """``sweepd --server …``: the exit status, and what was printed since the last look."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    async def __call__(self, api: Api, *arguments: str) -> int:
        """Run one command."""
        return await self.at(api.base, *arguments)

    async def at(self, server: str, *arguments: str) -> int:
        """Run one command for the daemon there."""
        return await self.here("--server", server, *arguments)

    async def here(self, *arguments: str) -> int:
        """Run one command, with no other options."""
        self._capsys.readouterr()
        status = await asyncio.to_thread(guarded, commands_of_sweepd(), list(arguments))
        self.out, self.err = self._capsys.readouterr()
        return status

    @property
    def json(self) -> Any:
        return json.loads(self.out)
