"""The rules that requests are admitted by, and the one place where a reload replaces all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from daemon.config import ServerConfig
from daemon.web.hosts import HostRule
from daemon.web.keyring import Keyring
from daemon.web.proxies import Proxies

WATCH_S: Final = 1.0
"""How often the token file is looked at: so long a revoked token may still be taken."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Which names the server answers to, whose word on a client's address counts, and which tokens open it."""

    hosts: HostRule
    proxies: Proxies
    keyring: Keyring


def prepare(server: ServerConfig) -> Rules:
    """The rules of a configuration. Blocks. Raises DocumentError if the token file is wrong."""
    keyring = Keyring(server)
    keyring.load()
    return Rules(HostRule(server.host, server.allowed_hosts), Proxies(server.trusted_proxies), keyring)


class Door:
    """``rules`` are those in force, on any thread. Before the server starts there are none."""

    rules: Rules

    def __init__(self, server: ServerConfig) -> None:
        self._server = server

    async def running(self, _application: web.Application) -> AsyncIterator[None]:
        """Know the rules while the server runs, and the token file as it is. Raises as ``prepare`` does."""
        self.rules = await asyncio.to_thread(prepare, self._server)
        task = asyncio.create_task(self._watch())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            await asyncio.to_thread(self.rules.keyring.look)
