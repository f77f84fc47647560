"""One request as a route's handler sees it: who asks, the path, the query, the body, and the way to the other services."""

import re
from collections.abc import AsyncIterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar.types import Receive, Scope

from services.gateway.edge import Edge
from services.gateway.http.encoded_slash import unmask
from services.gateway.http.errors import UnsupportedMedia, invalid
from services.gateway.identity.auth import Identity
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import Invalid, TooLarge
from shared.service.decode import check_texts, nul

T = TypeVar("T")

BODY_LIMIT = 1024 * 1024
"""Bytes of a plain JSON body."""
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_LISTS = frozenset({"ids", "tasks", "results", "events"})
"""Query fields that hold several values, with commas between them."""
_JSON = frozenset({"where"})
"""Query fields that hold JSON."""


class ClientGoneError(Exception):
    """The client hung up before its request was whole: nobody is left to answer."""


class Call:
    """`caller` is None on routes that are open to all."""

    __slots__ = ("_receive", "caller", "edge", "scope")

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, caller: Identity | None) -> None:
        self.edge, self.scope, self._receive, self.caller = edge, scope, receive, caller

    # -- what was asked

    def header(self, name: bytes) -> str:
        """A header (name in lower case); empty if there is none."""
        for key, value in self.scope["headers"]:
            if key == name:
                return value.decode("latin-1")
        return ""

    def uuid(self, name: str) -> UUID:
        """A segment of the path that has to be a UUID."""
        try:
            return UUID(self.scope["path_params"][name])
        except ValueError:
            raise Invalid("a UUID is expected here", field=name) from None

    def segment(self, name: str, kind: Any) -> Any:
        """A segment of the path, as a field of this kind; Invalid naming it otherwise."""
        if kind is UUID:
            return self.uuid(name)
        try:
            return msgspec.convert(self.path()[name], kind, strict=False)
        except msgspec.ValidationError as error:
            raise Invalid(str(error), field=name) from None

    def path(self) -> dict[str, Any]:
        """The segments of the path that have a name."""
        return {name: unmask(value) for name, value in self.scope["path_params"].items()}

    def query(self) -> dict[str, Any]:
        """The query's fields; each may stand once."""
        raw = self.scope["query_string"]
        if not raw:
            return {}
        pairs = parse_qsl(raw.decode("latin-1"), keep_blank_values=True)
        found: dict[str, Any] = dict(pairs)
        if len(found) != len(pairs):
            raise Invalid("a field of the query stands twice", field="query")
        return {name: _read(name, value) for name, value in found.items()}

    def asked(self, kind: type[T]) -> T:
        """Path and query as one Struct."""
        asked = {**self.query(), **self.path()}
        if (place := nul(asked)) is not None:
            raise Invalid("a text cannot have the character U+0000", field=place)
        try:
            return msgspec.convert(asked, kind, strict=False)
        except msgspec.ValidationError as error:
            raise invalid(error, where="query") from None

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes; ClientGoneError if it ends early."""
        while True:
            message: Any = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if body := message.get("body"):
                yield body
            if not message.get("more_body"):
                return

    async def gone(self) -> None:
        """Returns when the client has hung up; for answers that go on, after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def raw(self, limit: int = BODY_LIMIT, hint: str = "") -> bytes:
        """The whole body; TooLarge beyond `limit` bytes, before they are read if the length is announced."""
        announced = self.header(b"content-length")
        refusal = TooLarge(f"the body is larger than {limit} bytes{hint}", field="body")
        if announced.isdigit() and int(announced) > limit:
            raise refusal
        body = bytearray()
        async for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise refusal
        return bytes(body)

    async def json(self, kind: type[T], limit: int = BODY_LIMIT, hint: str = "") -> T:
        """The body as a Struct; Invalid naming the field otherwise."""
        media = self.header(b"content-type").partition(";")[0].strip().lower()
        if media not in ("", "application/json"):
            raise UnsupportedMedia(f"{media!r} is not taken here; application/json is", field="Content-Type")
        body = await self.raw(limit, hint)
        try:
            str(body, "utf-8")  # the decoder does not look into what it skips or passes on
            found = msgspec.json.decode(body or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise invalid(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Invalid(f"the body is not JSON: {error}", field="body") from None
        except RecursionError:
            raise Invalid("the body is nested too deeply", field="body") from None
        check_texts(found, body)
        return found

    @property
    def key(self) -> str:
        """The idempotency key; empty if there is none."""
        key = self.header(b"idempotency-key")
        if key and not _KEY.fullmatch(key):
            raise Invalid("1 to 255 visible ASCII characters are expected", field="Idempotency-Key")
        return key

    @property
    def user(self) -> str:
        """Who asks, on routes that are not open to all."""
        assert self.caller is not None
        return self.caller.user

    # -- asking others

    def told(self) -> dict[str, str]:
        """The headers that say who asks."""
        return {h.USER: self.user}

    async def scheduler(
        self, action: str, message: Any, reply: type[T], *, headers: dict[str, str] | None = None, timeout: float = 30
    ) -> T:
        """Asks the scheduler (see `ask`)."""
        return await self.ask("scheduler", action, message, reply, headers=headers, timeout=timeout)

    async def ask(
        self,
        service: str,
        action: str,
        message: Any,
        reply: type[T],
        *,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> T:
        """Asks a service; `action` is `<noun>.<verb>`. `reply` Raw: the answer is passed on undecoded."""
        noun, _, verb = action.partition(".")
        sent = self.told() if headers is None else self.told() | headers
        return await self.edge.bus.request(
            subjects.rpc(service, noun, verb), message, reply, timeout=timeout, headers=sent
        )


def _read(name: str, value: str) -> Any:
    """A query field's value: text, or what it stands for."""
    if name in _LISTS:
        return value.split(",")
    if name not in _JSON:
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Invalid(f"JSON is expected here: {error}", field=name) from None
