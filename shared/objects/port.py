"""Object storage as the rest of Headrace sees it.

`Store` is what any storage can do: `posix.PosixStore` (a mounted share) and `s3.S3Objects`. `Objects` can hand out addresses
too: `s3.S3Objects`, and the fake of shared/testing.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from datetime import timedelta
from typing import Final, Protocol

import msgspec

from shared.contracts.errors import Invalid

LONGEST_EXPIRY: Final = timedelta(minutes=15)
"""How long an address for others is valid at most: who needs more time asks for another."""
Data = bytes | bytearray | memoryview | AsyncIterable[bytes]
"""What can be put: bytes, or a stream of them. A stream that raises leaves nothing behind."""


class Stored(msgspec.Struct, frozen=True):
    """An object. `size` in bytes; `sha256` in hex, empty where the store does not know it (found by listing, or multipart)."""

    key: str
    size: int
    sha256: str = ""


class SignedPut(msgspec.Struct, frozen=True):
    """An address that writes one object, in one PUT. `url` is a secret: it may not be logged. `headers`: to be sent with it."""

    url: str
    headers: dict[str, str]


def check_expiry(expires: timedelta) -> None:
    """Invalid unless an address may be valid for so long."""
    if not timedelta(seconds=1) <= expires <= LONGEST_EXPIRY:
        minutes = int(LONGEST_EXPIRY.total_seconds()) // 60
        raise Invalid(f"an address is valid for 1 s to {minutes} minutes", field="expires")


class Store(Protocol):
    """Errors: Invalid (key, or not the announced size or hash), NotFound, AlreadyExists, TooLarge, NoRoom, Unavailable."""

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
        """Stores an object, whole or not at all, and returns its size and hash as they passed.

        `size`, `sha256`: what the bytes have to turn out to be, otherwise Invalid. `limit`: TooLarge beyond so many bytes.
        AlreadyExists if the key is taken, unless `if_absent` is off.
        """
        ...

    def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to, not including, `end`, cut as a slice would be; resumed when the store goes away.

        NotFound comes with the first chunk; Conflict if the object changed meanwhile.
        """
        ...

    async def read(self, key: str, *, limit: int) -> bytes:
        """A small object whole; TooLarge if it has more than `limit` bytes."""
        ...

    async def head(self, key: str) -> Stored | None:
        """What is known of an object; None if there is none."""
        ...

    async def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; those that are not there are no error."""
        ...

    def list(self, prefix: str) -> AsyncGenerator[Stored, None]:
        """The objects whose keys begin with `prefix`, in the order of their keys."""
        ...

    async def sweep(self, older_than: timedelta, prefix: str = "") -> int:
        """Removes what killed processes left half written, if it was begun (or last written to) before; how many.

        `prefix`: of the keys that it was to be under, where the store knows them.
        """
        ...

    async def check(self) -> str:
        """`ok`, or what is wrong: for health checks."""
        ...


class Objects(Store, Protocol):
    """A store that others can be sent to, with an address that expires: after LONGEST_EXPIRY at most, otherwise Invalid."""

    async def presign_get(self, key: str, expires: timedelta, filename: str = "") -> str:
        """A URL that reads this object until it expires. It is a secret: it may not be logged.

        `filename`: what a browser calls the download.
        """
        ...

    async def presign_put(self, key: str, expires: timedelta, *, size: int, sha256: str) -> SignedPut:
        """An address that writes this object until it expires, with these very bytes: `size` of them, that hash to `sha256` (hex).

        Both are signed, so that the store refuses any other body. A store that passes over checksums refuses other sizes only.
        """
        ...
