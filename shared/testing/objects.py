"""Object storage in memory, held to the same suite as the real one (`conformance_objects`)."""

import hashlib
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from urllib.parse import quote

from shared.contracts.errors import AlreadyExists, Conflict, Invalid, NotFound, TooLarge, Unavailable, Unreadable
from shared.objects.identity import Guard, encode, new
from shared.objects.layout import check_key
from shared.objects.pieces import cut
from shared.objects.port import Data, SignedPut, Stored, check_expiry

CHUNK = 64 * 1024


class MemoryObjects:
    """`away`: every call is Unavailable while it is set. `unreadable`: keys of objects that cannot be read. `written`: the keys of
    all puts, in order."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.written: list[str] = []
        self.unreadable: set[str] = set()
        self.away = False
        self.marker: bytes | None = encode(new("memory"))
        self._guard = Guard("memory")

    async def _reach(self) -> None:
        if self.away:
            raise Unavailable("object storage is away (test)")
        await self._guard.admit(self.marker, "memory")

    @contextmanager
    def replaced(self, marker: bytes | None = None) -> Iterator[dict[str, bytes]]:
        """Another storage is where this one was, an empty one with that marker; gives what is written there."""
        before = self.objects, self.marker
        self.objects, self.marker = {}, marker
        try:
            yield self.objects
        finally:
            self.objects, self.marker = before

    async def put(
        self,
        key: str,
        data: Data,
        *,
        size: int | None = None,
        sha256: str = "",
        limit: int | None = None,
        if_absent: bool = True,
    ) -> Stored:
        check_key(key)
        await self._reach()
        value = bytearray()
        async with aclosing(cut(data, CHUNK, size=size, limit=limit)) as pieces:
            async for piece in pieces:
                await self._reach()
                value += piece
        digest = hashlib.sha256(value).hexdigest()
        if sha256 and sha256.lower() != digest:
            raise Invalid(f"the bytes hash to {digest}, not to {sha256}", field="sha256")
        if if_absent and key in self.objects:
            raise AlreadyExists(f"there is an object {key!r} already", field="key")
        self.objects[key] = bytes(value)
        self.written.append(key)
        return Stored(key, len(value), digest)

    def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        if start < 0 or (end is not None and end < start):
            raise Invalid(f"{start} to {end} is not a range", field="start")
        return self._stream(key, start, end)

    async def _stream(self, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        await self._reach()
        value = self._value(key)
        if key in self.unreadable:
            raise Unreadable(f"object {key!r} cannot be read (test)")
        stop = len(value) if end is None else min(end, len(value))
        for at in range(start, stop, CHUNK):
            await self._reach()
            if self.objects.get(key) is not value:
                raise Conflict(f"object {key!r} changed while it was read")
            yield value[at : min(at + CHUNK, stop)]

    def _value(self, key: str) -> bytes:
        try:
            return self.objects[key]
        except KeyError:
            raise NotFound(f"there is no object {key!r}") from None

    async def read(self, key: str, *, limit: int) -> bytes:
        await self._reach()
        value = self._value(check_key(key))
        if len(value) > limit:
            raise TooLarge(f"object {key!r} is larger than {limit} bytes")
        return value

    async def head(self, key: str) -> Stored | None:
        await self._reach()
        value = self.objects.get(check_key(key))
        return None if value is None else Stored(key, len(value), hashlib.sha256(value).hexdigest())

    async def delete(self, keys: Iterable[str]) -> None:
        names = [check_key(key) for key in keys]
        await self._reach()
        for name in names:
            self.objects.pop(name, None)

    async def list(self, prefix: str) -> AsyncGenerator[Stored, None]:
        await self._reach()
        for key in sorted(self.objects):
            if key.startswith(prefix) and key in self.objects:
                yield Stored(key, len(self.objects[key]))

    async def presign_get(self, key: str, expires: timedelta, filename: str = "") -> str:
        return await self._presign("get", key, expires) + (f"&filename={quote(filename, safe='')}" if filename else "")

    async def presign_put(self, key: str, expires: timedelta, *, size: int, sha256: str) -> SignedPut:
        url = await self._presign("put", key, expires)
        return SignedPut(f"{url}&size={size}", {"x-amz-checksum-sha256": b64encode(bytes.fromhex(sha256)).decode()})

    async def _presign(self, verb: str, key: str, expires: timedelta) -> str:
        check_expiry(expires)
        await self._reach()
        return f"memory://{verb}/{quote(check_key(key))}?expires={int(expires.total_seconds())}"

    async def sweep(self, older_than: timedelta, prefix: str = "") -> int:
        await self._reach()
        return 0  # nothing is ever half written here

    async def check(self) -> str:
        try:
            await self._reach()
        except Unavailable as error:
            return error.message
        return "ok"

    def assert_empty(self) -> None:
        """Nothing was left behind."""
        assert not self.objects, f"objects left behind: {sorted(self.objects)}"
