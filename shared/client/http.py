"""Requests to the HTTP edge: JSON in and out, repeated while a service is away, errors as exceptions.

A change carries an idempotency key: however often it is sent, it happens once.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from typing import Any, Final, TypeVar
from uuid import uuid4

import httpx
import msgspec

from shared.client.address import Address
from shared.client.errors import RefusedError, UnavailableError, UnreachableError, refused
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

    seconds   for which a request is repeated, from its first failure on; 0: not at all
    at_start  also before the first reply ever, when a wrong address looks just like an outage
    report    called with a sentence when an outage lasts, and with `back` when it is over
    statuses  of HTTP that say that a service is away, full, or has too much to do
    """

    seconds: float = 60.0
    at_start: bool = False
    report: Callable[[str], None] = _ignore
    statuses: frozenset[int] = frozenset(UnavailableError.statuses)


class Http:
    """The connections to one edge, in the name of one token. Close it with `close`."""

    def __init__(
        self, address: Address, patience: Patience = Patience(), transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.address, self.patience = address, patience
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not is_loopback(address.url),
        )
        self._reached = patience.at_start
        self._url = lru_cache(256)(lambda path: _parsed(f"{address.url}{path}"))
        """httpx takes a tenth of a millisecond to parse an address."""

    async def close(self) -> None:
        """Closes the connections."""
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

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The reply to one request, repeated while services are away; `options`: those of `exchange`.

        Raises RefusedError for a reply that is an error, UnreachableError if there is none.
        """
        response = await self.exchange(method, path, **options)
        if response.is_error:
            raise _error(response)
        return response

    async def exchange(
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
        """The reply to one request, whatever its status; repeated while services are away. Raises UnreachableError.

        body      anything that msgspec encodes, sent as JSON
        content   the body as it is; one that comes in pieces cannot be repeated
        timeout   seconds that the reply may take
        key       the idempotency key of a change; a new one if not given
        """
        sent = dict(headers or {})
        if method != "GET":
            sent.setdefault("Idempotency-Key", key or str(uuid4()))
        if body is not None:
            content, sent["Content-Type"] = msgspec.json.encode(body), "application/json"
        repeatable = content is None or isinstance(content, bytes)
        options: dict[str, Any] = {"params": _stated(query), "content": content, "headers": sent}
        options["timeout"] = timeout if timeout is not None else _TIMEOUT if repeatable else _BODY_TIMEOUT
        since, tries = 0.0, 0
        while True:
            response, problem = None, ""
            try:
                with self._reaching():
                    response = await self._client.request(method, self._url(path), **options)
            except UnreachableError as error:
                since = since or time.monotonic()
                if not self._may_repeat(repeatable, since):
                    raise
                problem = str(error)
            if response is not None:
                if response.status_code not in self.patience.statuses:
                    self._reached = True
                    if tries > REPORTED:
                        self.patience.report("back")
                else:
                    since = since or time.monotonic()
                if response.status_code not in self.patience.statuses or not self._may_repeat(repeatable, since):
                    response.extensions["tries"] = tries
                    return response
                problem = str(_error(response))
            if tries == REPORTED:
                self.patience.report(f"waiting: {problem}")
            await asyncio.sleep(BACKOFF.delay(tries))
            tries += 1

    def _may_repeat(self, repeatable: bool, since: float) -> bool:
        return repeatable and self._reached and time.monotonic() - since < self.patience.seconds

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
                "GET", self._url(path), params=_stated(query), headers=headers, timeout=timeout
            ) as response:
                if response.is_error:
                    await response.aread()
                    raise _error(response)
                self._reached = True
                yield response

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except (httpx.TransportError, httpx.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"nobody answers at {self.address.url}: {why}") from None


def _error(response: httpx.Response) -> RefusedError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    error = refused(response.status_code, problem)
    error.repeated = response.extensions.get("tries", 0) > 0
    return error


def _plain(response: httpx.Response) -> Any:
    return response.json() if response.content else None


def _stated(query: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is not empty of a query; None if nothing is: httpx parses the address again for an empty one."""
    return {name: value for name, value in (query or {}).items() if value not in (None, "")} or None


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UnreachableError(f"{url!r} is not an address: {error}") from None


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine, where a proxy from the environment is of no use."""
    return _parsed(url).host in ("127.0.0.1", "localhost", "::1")
