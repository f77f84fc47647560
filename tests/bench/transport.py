"""The client over aiohttp's connections: those of httpx cost most of a millisecond a request, which would be measured as Headrace's."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import aiohttp
import httpx

from shared.client import Address, Headrace, Patience


class BenchClient(Headrace):
    """Faults are not waited for: that would be measured."""

    def __init__(self, http: str, token: str) -> None:
        self._transport = Transport()
        super().__init__(Address(http, token), patience=Patience(0), transport=self._transport)

    async def submit_one(self, session: UUID) -> None:
        """One task that waits for nothing, past httpx, whose quarter of a millisecond would be a twentieth of a round trip."""
        address = self.http.address
        headers = {"Authorization": f"Bearer {address.token}", "Content-Type": "application/x-ndjson"}
        url = f"{address.url}/compute/v1/sessions/{session}/submissions"
        async with await self._transport.request("POST", url, data=b"{}\n", headers=headers) as reply:
            reply.raise_for_status()
            await reply.read()


class Transport(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def request(self, method: str, url: str, **options: Any) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), auto_decompress=False)
        return await self._session.request(method, url, **options)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        whole = "content-length" in request.headers
        body: Any = await request.aread() if whole else request.stream
        sent = None if not whole and "transfer-encoding" not in request.headers else body
        headers = [
            pair for pair in request.headers.multi_items() if pair[0] not in ("content-length", "transfer-encoding")
        ]
        reply = await self.request(request.method, str(request.url), data=sent, headers=headers)
        return httpx.Response(reply.status, headers=reply.raw_headers, stream=_Body(reply))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: aiohttp.ClientResponse) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._reply.content.iter_any():
            yield chunk

    async def aclose(self) -> None:
        self._reply.release() if self._reply.content.at_eof() else self._reply.close()
