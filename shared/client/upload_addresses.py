"""Addresses to upload to: asked for when they are needed, and again when one has expired."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

PAGE: Final = 100
"""Addresses that are asked for at once."""
FRESH: Final = 300.0
"""Seconds for which an address is used. It may be valid for 15 minutes, and the body is sent only after it was accepted."""


class Address(msgspec.Struct, frozen=True):
    """Where one file is uploaded to, in one PUT. `url` is a secret. `headers`: sent with it, because they are signed too."""

    url: str
    headers: Mapping[str, str] = {}


Sign = Callable[[Sequence[str]], Awaitable[Mapping[str, Address]]]
"""Asks for addresses of paths, all of them in one request."""


class Addresses:
    """The addresses of files that are uploaded in about the order of `paths`."""

    def __init__(self, sign: Sign, paths: Iterable[str]) -> None:
        self._sign = sign
        self._waiting = dict.fromkeys(paths)
        self._known: dict[str, tuple[Address, float]] = {}
        self._lock = asyncio.Lock()

    async def of(self, path: str) -> Address:
        """The address of a file. Those of the next files are asked for along with it."""
        async with self._lock:
            if not self._is_fresh(path):
                rest = (one for one in self._waiting if one != path and not self._is_fresh(one))
                asked, now = [path, *islice(rest, PAGE - 1)], time.monotonic()
                self._known |= {one: (address, now) for one, address in (await self._sign(asked)).items()}
            return self._known[path][0]

    def refused(self, path: str) -> None:
        """The address of a file has expired: the next one is another."""
        self._known.pop(path, None)

    def arrived(self, path: str) -> None:
        """A file is there: its address is needed no more."""
        self._known.pop(path, None)
        self._waiting.pop(path, None)

    def _is_fresh(self, path: str) -> bool:
        known = self._known.get(path)
        return known is not None and time.monotonic() - known[1] < FRESH
