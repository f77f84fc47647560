"""Requests to the HTTP edge: JSON in and out, repeated while a service is away, errors as exceptions.

A change carries an idempotency key: however often it is sent, it happens once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx
import msgspec

from shared.client.address import Address
from shared.client.errors import UnavailableError, UnreachableError, refused
from shared.runtime.retry import Backoff

T = TypeVar("T")
Content = bytes | AsyncIterator[bytes]

BACKOFF = Backoff(first=0.2, ceiling=3)
"""Seconds between two tries."""
REPORTED: Final = 3
"""Tries that fail before an outage is reported: most are over by then."""
_TIMEOUT: Final = httpx.Timeout(10, read=60, pool=None)
_BODY_TIMEOUT: Final = httpx.Timeout(10, read=120, write=120, pool=None)


def _ignore(_: str) -> None:
    return


class Patience(msgspec.Struct, frozen=True):
    """How long an outage is waited for.

    seconds   for which a request is repeated; 0: not at all
    at_start  also before the first reply ever, when a wrong address looks just like an outage
    report    called with a sentence when an outage lasts, and with `back` when it is over
    """

    seconds: float = 60.0
    at_start: bool = False
    report: Callable[[str], None] = _ignore


class Http:
    """The connections to one edge, in the name of one token. Close it with `close`."""

    def __init__(
        self, address: Address, patience: Patience = Patience(), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.address, self.patience = address, patience
        self._client = httpx.AsyncClient(
            base_url=_parsed(address.url),
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not is_loopback(address.url),
        )
        self._reached = patience.at_start

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        """The reply as plain JSON values. A `query` value of None is left out."""
        return _plain(await self.send("GET", path, query=query))

    async def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """The reply as plain JSON values. `body`: anything that msgspec encodes; `options`: those of `send`."""
        return _plain(await self.send("POST", path, body=body, **options))

    async def ask(self, method: str, path: str, reply: type[T], **options: Any) -> T:
        """The reply decoded as one of the contracts' Structs; `options`: those of `send`."""
        response = await self.send(method, path, **options)
        return msgspec.json.decode(response.content, type=reply)

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        key: str = "",
    ) -> httpx.Response:
        """One request, repeated while services are away.

        body      anything that msgspec encodes, sent as JSON
        content   the body as it is; one that comes in pieces cannot be repeated
        timeout   seconds that the reply may take
        key       the idempotency key of a change; a new one if not given
        Raises RefusedError and UnreachableError.
        """
        sent = dict(headers or {})
        if method != "GET":
            sent.setdefault("Idempotency-Key", key or str(uuid4()))
        if body is not None:
            content, sent["Content-Type"] = msgspec.json.encode(body), "application/json"
        patient = content is None or isinstance(content, bytes)
        options: dict[str, Any] = {"params": _stated(query), "content": content, "headers": sent}
        options["timeout"] = timeout if timeout is not None else _TIMEOUT if patient else _BODY_TIMEOUT
        since, tries = time.monotonic(), 0
        while True:
            try:
                with self._reaching():
                    return self._checked(await self._client.request(method, path, **options), tries)
            except (UnavailableError, UnreachableError) as error:
                if not (patient and self._reached) or time.monotonic() - since >= self.patience.seconds:
                    raise
                if tries == REPORTED:
                    self.patience.report(f"waiting: {error}")
            await asyncio.sleep(BACKOFF.delay(tries))
            tries += 1

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = 60,
    ) -> AsyncIterator[httpx.Response]:
        """A reply to be read while it comes; not repeated. `silence`: seconds without a byte that end it; None: any."""
        timeout = httpx.Timeout(10, read=silence)
        with self._reaching():
            async with self._client.stream(
                "GET", path, params=_stated(query), headers=headers, timeout=timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                yield self._checked(response, 0)

    def _checked(self, response: httpx.Response, tries: int) -> httpx.Response:
        if not response.is_error:
            self._reached = True
            if tries > REPORTED:
                self.patience.report("back")
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        error = refused(response.status_code, problem)
        error.repeated = tries > 0
        self._reached = self._reached or not isinstance(error, UnavailableError)
        raise error

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"nobody answers at {self.address.url}: {why}") from None


def _plain(response: httpx.Response) -> Any:
    return response.json() if response.content else None


def _stated(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value not in (None, "")}


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UnreachableError(f"{url!r} is not an address: {error}") from None


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine, where a proxy from the environment is of no use."""
    return _parsed(url).host in ("127.0.0.1", "localhost", "::1")
