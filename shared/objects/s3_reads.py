"""Reading an object as a stream that goes on where it was when the store goes away in between."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, Final

from botocore.exceptions import ClientError

from shared.contracts.errors import AlreadyExists, Conflict, Internal, Unavailable
from shared.objects.s3_calls import Caller
from shared.objects.s3_errors import AWAY, code_of
from shared.runtime.log import log

CHUNK: Final = 1024 * 1024
"""Bytes that one chunk has at most."""


async def stream(call: Caller, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
    """The bytes from `start` to `end`. A store that stays away without a byte for the caller's patience: Unavailable."""
    at, version, tries, until = start, "", 0, time.monotonic() + call.patience
    while end is None or at < end:
        answer = await _open(call, key, at, end, version)
        if answer is None:
            return
        version = answer["ETag"]
        try:
            body = answer["Body"]
            async with body:
                while chunk := await body.read(CHUNK):
                    at, tries, until = at + len(chunk), 0, time.monotonic() + call.patience
                    yield chunk
                return
        except AWAY as error:
            if time.monotonic() >= until:
                raise Unavailable(f"object storage went away while {key!r} was read") from error
            log.debug("objects.resumed", key=key, at=at, error=repr(error))
        await asyncio.sleep(call.backoff.delay(tries))
        tries += 1


async def _open(call: Caller, key: str, at: int, end: int | None, version: str) -> Any:
    """The answer that has the rest; None: there is no byte at `at`."""
    arguments: dict[str, Any] = {"IfMatch": version} if version else {}
    if at or end is not None:
        arguments["Range"] = f"bytes={at}-{'' if end is None else end - 1}"
    try:
        return await call("get_object", key, **arguments)
    except AlreadyExists:  # a condition that did not hold
        raise Conflict(f"object {key!r} changed while it was read") from None
    except Internal as error:
        if isinstance(error.__cause__, ClientError) and code_of(error.__cause__)[0] == 416:
            return None
        raise
