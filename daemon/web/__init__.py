"""The HTTP API: the contract's routes, health and metrics. The only room, beside ``daemon.app``, that knows aiohttp."""
