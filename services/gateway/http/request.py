"""One request as a route's handler sees it: who asks, the headers, the body, and the way to the services."""

import re
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import msgspec

from services.gateway.edge import Edge
from services.gateway.http.asgi import Receive, Scope
from services.gateway.http.errors import UnsupportedMedia, invalid
from shared.contracts.endpoint import Endpoint, Query
from shared.contracts.errors import Invalid, TooLarge
from shared.service.ask import ask, ask_raw
from shared.service.context import Context
from shared.service.decode import MALFORMED, check_texts, check_utf8

T = TypeVar("T")
Message = TypeVar("Message")

BODY_LIMIT = 1024 * 1024
"""Bytes of a plain JSON body."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class ClientGoneError(Exception):
    """The client hung up before its request was whole: nobody is left to answer."""


class Request:
    """`context`: who asks; nobody on routes that are open to all. `action`, `thing`: what, and to what, once the route is found."""

    __slots__ = ("_receive", "action", "context", "edge", "scope", "thing")

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, context: Context) -> None:
        self.edge, self.scope, self._receive, self.context = edge, scope, receive, context
        self.action = self.thing = ""

    def header(self, name: bytes) -> str:
        """A header (name in lower case); empty if there is none."""
        for key, value in self.scope["headers"]:
            if key == name:
                return str(value, "latin-1")
        return ""

    @property
    def media_type(self) -> str:
        """The media type of the body, without parameters; empty if the request has no Content-Type."""
        return self.header(b"content-type").partition(";")[0].strip().lower()

    @property
    def length(self) -> int | None:
        """Bytes that the body has, if that is announced."""
        announced = self.header(b"content-length")
        return int(announced) if announced.isdigit() else None

    @property
    def key(self) -> str:
        """The idempotency key; empty if there is none."""
        key = self.header(b"idempotency-key")
        if key and not _KEY.fullmatch(key):
            raise Invalid("1 to 255 visible ASCII characters are expected", field="Idempotency-Key")
        return key

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; ClientGoneError if it ends early."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if body := message.get("body"):
                yield body
            if not message.get("more_body"):
                return

    async def disconnected(self) -> None:
        """Returns when the client has hung up; for answers that go on, after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def raw(self, limit: int = BODY_LIMIT, hint: str = "") -> bytes:
        """The whole body; TooLarge beyond `limit` bytes, before they are read if the length is announced."""
        refusal = TooLarge(f"the body is larger than {limit} bytes{hint}", field="body")
        if (self.length or 0) > limit:
            raise refusal
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise refusal
        return bytes(body)

    async def json(self, kind: type[T], limit: int = BODY_LIMIT, hint: str = "") -> T:
        """The body as a Struct; Invalid naming the field otherwise. An empty body is `{}`, whatever its Content-Type."""
        body = await self.raw(limit, hint)
        if body and self.media_type not in ("", "application/json"):
            raise UnsupportedMedia(f"{self.media_type!r} is not taken here; application/json is", field="Content-Type")
        try:
            check_utf8(body)
            found = msgspec.json.decode(body or b"{}", type=kind)
        except MALFORMED as error:
            raise invalid(error, where="body") from None
        check_texts(found, body)
        return found

    async def ask(self, endpoint: Query[Message, T], message: Message, *, timeout: float = 30) -> T:
        """Asks a service, on behalf of the caller, for what changes nothing; its decoded answer."""
        return await ask(self.edge.bus, endpoint, message, self.context, timeout=timeout)

    async def ask_raw(self, endpoint: Endpoint[Any, Any], message: Any, *, timeout: float = 30) -> bytes:
        """Asks a service on behalf of the caller, once per idempotency key; its answer as it came."""
        return await ask_raw(self.edge.bus, endpoint, message, self.context, key=self.key, timeout=timeout)
