"""Looks once more at a datablock that was not as expected: damage is recorded only when it was found twice. A storage that is not
there (Unavailable) says nothing about its datablocks."""

from asyncio import sleep
from contextlib import aclosing
from typing import Final

import msgspec

from shared.contracts.catalogue import DamageKind
from shared.contracts.errors import NotFound, Unreadable
from shared.objects.hashing import Sha256
from shared.objects.port import Store

PAUSES: Final = (2.0, 8.0)
"""Pauses in seconds between tries to read an object that cannot be read."""


class Found(msgspec.Struct, frozen=True):
    """What is wrong, with the size (None: nothing is there, or it cannot be read) and the SHA-256 that were found."""

    damage: DamageKind
    size: int | None = None
    chk: str = ""


async def examine(lts: Store, key: str, size: int, chk: str) -> Found | None:
    """Reads the object, whole; None if it is as it has to be."""
    for pause in PAUSES:
        try:
            return await _examine(lts, key, size, chk)
        except Unreadable:
            await sleep(pause)
    try:
        return await _examine(lts, key, size, chk)
    except Unreadable:
        return Found("unreadable")


async def _examine(lts: Store, key: str, size: int, chk: str) -> Found | None:
    digest = Sha256()
    try:
        async with aclosing(lts.get(key)) as chunks:
            async for chunk in chunks:
                await digest.update(chunk)
    except NotFound:
        return Found("missing")
    if digest.size != size:
        return Found("size", digest.size, digest.hex())
    return None if digest.hex() == chk else Found("checksum", digest.size, digest.hex())


def description(archive_id: str, found: Found, size: int, chk: str) -> str:
    """What was found and what was expected, for people to read."""
    match found.damage:
        case "missing":
            return f"{archive_id} is not there"
        case "size":
            return f"{archive_id} has {found.size} bytes, not {size}"
        case "checksum":
            return f"{archive_id} hashes to {found.chk}, not to {chk}"
        case "unreadable":
            return f"{archive_id} cannot be read"
