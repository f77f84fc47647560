"""Connections to object storage, at addresses that were signed for us: they need no token."""

from types import TracebackType
from typing import Self

import httpx

from shared.client.http import is_loopback

_TIMEOUT = httpx.Timeout(10, read=120, write=60, pool=None)


class ObjectStorage:
    """Keeps the connections of many transfers: to make them anew for each costs more than a small transfer."""

    def __init__(self) -> None:
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections."""
        for client in self._clients.values():
            await client.aclose()

    def client(self, url: str) -> httpx.AsyncClient:
        """The one for this address: a proxy from the environment is of no use on this machine."""
        direct = is_loopback(url)
        if direct not in self._clients:
            self._clients[direct] = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=not direct)
        return self._clients[direct]
