"""A bucket itself: whether it is there, what is in it, and its marker (identity.py)."""

import contextlib
from typing import Any

from shared.contracts.errors import AlreadyExists, NotFound
from shared.objects import s3_reads
from shared.objects.layout import MARKER
from shared.objects.s3_calls import Caller


class Bucket:
    """One bucket of an object storage."""

    def __init__(self, call: Caller) -> None:
        self._call = call

    def __str__(self) -> str:
        return f"bucket {self._call.bucket!r}"

    async def make(self) -> None:
        """Makes it if there is none."""
        try:
            await self._call("head_bucket")
        except NotFound:
            region = self._call.client.meta.region_name
            # S3 refuses its own default as a constraint.
            where: dict[str, Any] = (
                {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            )
            with contextlib.suppress(AlreadyExists):
                await self._call("create_bucket", **where)

    async def is_empty(self) -> bool:
        """Whether there is no object in it."""
        return not (await self._call("list_objects_v2", MaxKeys=1)).get("Contents")

    async def marker(self) -> bytes | None:
        """Its marker; None if there is none."""
        try:
            return b"".join([chunk async for chunk in s3_reads.stream(self._call, MARKER, 0, None)])
        except NotFound:
            return None

    async def write_marker(self, marker: bytes) -> None:
        """AlreadyExists if there is one."""
        await self._call("put_object", MARKER, body=marker, IfNoneMatch="*")
