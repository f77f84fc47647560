"""Passwords of local users, as argon2id (RFC 9106), hashed apart from the loop and never many at once."""

import asyncio
from functools import cache
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE: Final = 2
"""Passwords hashed at a time: each takes 64 MiB and some 50 ms of a core."""

_hasher = argon2.PasswordHasher()


@cache
def _unknown() -> str:
    """Compared with when there is no such user, so that the answer takes as long."""
    return _hasher.hash("nobody has this password")


class Passwords:
    """Hashes and compares passwords."""

    def __init__(self) -> None:
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def encode(self, password: str) -> str:
        """What is stored of a password: its hash with its parameters."""
        async with self._gate:
            return await asyncio.to_thread(_hasher.hash, password)

    async def is_right(self, encoded: str | None, password: str) -> bool:
        """Whether `encoded` is of this password; None is of no password, and takes as long to compare."""
        async with self._gate:
            return await asyncio.to_thread(_compare, encoded, password)


def _compare(encoded: str | None, password: str) -> bool:
    try:
        return _hasher.verify(encoded or _unknown(), password) and encoded is not None
    except (VerificationError, InvalidHashError):
        return False
