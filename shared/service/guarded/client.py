"""The client for URLs that users give. It knows no proxy, no cookie, no `.netrc`, and keeps no connection.

A host's addresses are resolved once for each hop, all of them checked, and one of those connected to: a name that has another
address a moment later (DNS rebinding) gains nothing. A redirect is a new URL, checked as the first.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec

from shared.contracts.errors import Invalid, TimedOut, TooLarge, Unavailable
from shared.service.guarded.allowed import Allowed, Target, is_allowed_address, target

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → addresses. OSError if it has none."""
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_BODY_HEADERS: Final = frozenset({"content-type", "content-length", "content-encoding"})


class Limits(msgspec.Struct, frozen=True):
    """seconds: that all of a request may take, redirects included. size: bytes of the answer. redirects: that are followed."""

    seconds: float = 10.0
    size: int = 1024 * 1024
    redirects: int = 3


class Reply(msgspec.Struct, frozen=True):
    """An answer. `headers`: lower-case name → value. `url`: the one that answered, after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


async def resolve(host: str, port: int) -> Sequence[str]:
    """The system's addresses of a host."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class GuardedClient:
    """Requests URLs that users give, where `allowed` allows it. `tls`: what certificates are checked against."""

    def __init__(
        self,
        allowed: Allowed,
        limits: Limits = Limits(),
        *,
        resolve: Resolve = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed, self._limits, self._resolve = allowed, limits, resolve
        # A connection that is kept would serve another host that has the same address.
        self._transport = httpx.AsyncHTTPTransport(
            verify=tls or ssl.create_default_context(),
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.aclose()

    def check(self, url: str, field: str = "url") -> None:
        """Invalid if this URL is not allowed: when a user hands it in. What it resolves to is looked at when it is requested."""
        target(url, self._allowed, field)

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str] = {}, body: bytes = b"", field: str = "url"
    ) -> Reply:
        """The answer of a URL, whatever its status.

        Invalid: it, or what it redirects to, is not allowed. TooLarge: a longer answer than the limit. TimedOut, Unavailable: no
        answer. None of them repeats the URL.
        """
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._follow(method, target(url, self._allowed, field), dict(headers), body, field)
        except TimeoutError:
            raise TimedOut(f"the URL's host did not answer in full within {self._limits.seconds:g} s") from None

    async def _follow(self, method: str, at: Target, headers: dict[str, str], body: bytes, field: str) -> Reply:
        for _ in range(self._limits.redirects + 1):
            reply = await self._once(method, at, headers, body, field)
            if reply.status not in REDIRECTS or not (location := reply.headers.get("location")):
                return reply
            there = self._redirected(at, location, field)
            if (there.url.scheme, there.host, there.port) != (at.url.scheme, at.host, at.port):
                headers = {name: value for name, value in headers.items() if name.lower() in _BODY_HEADERS}
            if reply.status not in (307, 308) and method not in ("GET", "HEAD"):
                method, body = "GET", b""
                headers = {name: value for name, value in headers.items() if name.lower() not in _BODY_HEADERS}
            at = there
        raise Invalid(f"the URL redirects more than {self._limits.redirects} times", field=field)

    def _redirected(self, at: Target, location: str, field: str) -> Target:
        try:
            joined = str(at.url.join(location))
        except (httpx.InvalidURL, ValueError):
            raise Invalid("the URL redirects to what is not a URL", field=field) from None
        there = target(joined, self._allowed, field)
        if at.url.scheme == "https" and there.url.scheme != "https":
            raise Invalid("the URL redirects from https to http", field=field)
        return there

    async def _once(self, method: str, at: Target, headers: Mapping[str, str], body: bytes, field: str) -> Reply:
        problem: httpx.TransportError | None = None
        sent = httpx.Headers(headers)
        sent["Host"], sent["Accept-Encoding"] = at.url.netloc.decode("ascii"), "identity"
        for address in await self._addresses(at, field):
            request = httpx.Request(
                method,
                at.url.copy_with(host=address),
                headers=sent,
                content=body,
                extensions={"sni_hostname": at.host, "timeout": httpx.Timeout(self._limits.seconds).as_dict()},
            )
            try:
                return await self._send(request, str(at.url))
            except httpx.ConnectError as error:  # the next address may answer
                problem = error
            except httpx.TimeoutException:
                raise TimeoutError from None
            except httpx.TransportError as error:
                problem = error
                break
        raise Unavailable(f"the URL's host does not answer ({type(problem).__name__})")

    async def _addresses(self, at: Target, field: str) -> Sequence[str]:
        """All of them are allowed: which of them is taken may be another's choice."""
        try:
            found = await self._resolve(at.host, at.port)
        except (OSError, UnicodeError):
            raise Unavailable(f"there is no address of {at.host}") from None
        if not found or not all(is_allowed_address(one, self._allowed) for one in found):
            raise Invalid(f"{at.host} has an address that the operator does not allow", field=field)
        return found

    async def _send(self, request: httpx.Request, url: str) -> Reply:
        answer = await self._transport.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        try:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise Unavailable("the URL's host answers with an encoding that was not asked for")
            body = await self._read(answer.stream)
        finally:
            with contextlib.suppress(httpx.TransportError):
                await answer.aclose()
        return Reply(answer.status_code, dict(answer.headers), body, url)

    async def _read(self, stream: AsyncIterator[bytes] | httpx.AsyncByteStream) -> bytes:
        body = bytearray()
        async for chunk in stream:
            body += chunk
            if len(body) > self._limits.size:
                raise TooLarge(f"the URL's host answers with more than {self._limits.size} bytes")
        return bytes(body)
