"""Translates errors of the S3 client to HeadraceErrors. Messages name the key, never a URL: presigned URLs are secrets."""

import asyncio
from typing import Final

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, IncompleteReadError

from shared.contracts.errors import AlreadyExists, HeadraceError, Internal, NotFound, TooLarge, Unavailable

AWAY: Final = (
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
    aiohttp.ClientError,
    asyncio.TimeoutError,
    OSError,
)
"""The store is away, or the connection was lost: whether it did what was asked is not known."""

_PASSING: Final = frozenset(
    {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "ConditionalRequestConflict", "BadDigest", "InvalidDigest"}
)
"""Refusals that another try may not meet. A bad digest means that bytes changed on the way: ours were just computed."""


def code_of(error: ClientError) -> tuple[int, str]:
    """HTTP status and S3's error code."""
    answer = error.response
    return answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), str(answer.get("Error", {}).get("Code", ""))


def translate(error: Exception, bucket: str, key: str) -> HeadraceError | None:
    """The error to raise instead; None: not one of the store's. Only Unavailable is worth another try."""
    if isinstance(error, AWAY):
        return Unavailable(f"object storage is away ({type(error).__name__})")
    if isinstance(error, ClientError):
        return _refusal(*code_of(error), bucket, key)
    if isinstance(error, BotoCoreError):
        return Internal(f"object storage: {type(error).__name__}")
    return None


def _refusal(status: int, code: str, bucket: str, key: str) -> HeadraceError:
    if code == "NoSuchBucket":
        return Unavailable(f"object storage has no bucket {bucket!r} (yet)")
    if status == 404:
        return NotFound(f"there is no object {key!r}")
    if status == 412 or code.startswith("BucketAlready"):
        return AlreadyExists(f"there is an object {key!r} already", field="key")
    if code == "EntityTooLarge":
        return TooLarge(f"object {key!r} is larger than object storage takes")
    if status >= 500 or status == 429 or code in _PASSING:
        return Unavailable(f"object storage cannot do this now ({code})")
    return Internal(f"object storage refuses: {code} ({status})")
