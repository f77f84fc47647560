"""Object storage in an S3 bucket: SeaweedFS in the embedded stack, any other by its settings.

async with open_objects(load(ObjectsSettings)) as objects:
    await objects.put(key, data)

The bucket's marker (identity.py) is an object, looked at before an operation unless that was done a few seconds ago, and
always after the store has answered that something is not there.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import aioboto3
from aiobotocore.config import AioConfig

from shared.contracts.errors import AlreadyExists, HeadraceError, Invalid, NotFound, TooLarge, Unavailable, Unreadable
from shared.objects import s3_reads
from shared.objects.bucket import Bucket
from shared.objects.hashing import Sha256
from shared.objects.identity import FRESH, Freshness, Guard, Record
from shared.objects.layout import MARKER, check_key
from shared.objects.multipart import PART, Multipart, part_length
from shared.objects.pieces import Piece, cut
from shared.objects.port import Data, SignedPut, Stored, check_expiry
from shared.objects.s3_calls import Caller
from shared.objects.settings import ObjectsSettings
from shared.runtime.retry import Backoff

MOST_KEYS: Final = 1000
"""Keys that one delete request takes."""
PATIENCE: Final = 2.0
"""Seconds in which a store answers that is well; a service's health has to answer in 3."""
_WRITER: Final = "headrace-writer"


class S3Objects:
    """The `Objects` port on a bucket. Made by `open_objects`; safe for any number of tasks of one loop.

    call        makes one request of S3's API for the bucket
    multipart   uploads in parts
    bucket      the bucket itself: made, marked, examined
    """

    def __init__(
        self, call: Caller, public: Any, prober: Any, guard: Guard, *, part: int = PART, fresh: float = FRESH
    ) -> None:
        self.call, self._public, self._prober, self._guard, self._part = call, public, prober, guard, part
        self.multipart = Multipart(call)
        self._marker = Freshness(self._admit, fresh)
        self.bucket = Bucket(call)

    async def _admit(self) -> None:
        """Unavailable unless the bucket is there and the right one."""
        await self._guard.admit(await self.bucket.marker(), str(self.bucket))

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
        digest, writer = Sha256(), str(uuid4())
        length = part_length(size, self._part)
        async with aclosing(cut(data, length, size=size, limit=limit)) as pieces:
            first = await anext(pieces)
            second = await anext(pieces, None) if len(first) == length else None
            try:
                if second is None:
                    await self._put_whole(key, first, digest, sha256, writer, if_absent)
                else:
                    await self._put_parts(key, _chain(first, second, pieces), digest, sha256, writer, if_absent)
            except (AlreadyExists, NotFound):
                # Either somebody else was first, or we were, and the answer was lost on the way.
                await self._marker.now()
                if not await self._is_by(key, writer):
                    raise
        return Stored(key, digest.size, digest.hex())

    async def _put_whole(
        self, key: str, data: Piece, digest: Sha256, sha256: str, writer: str, if_absent: bool
    ) -> None:
        await digest.update(data)
        _compare(sha256, digest)
        await self._marker.recent()
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        checksum = base64.b64encode(digest.digest()).decode()
        await self.call("put_object", key, body=data, ChecksumSHA256=checksum, Metadata={_WRITER: writer}, **condition)

    async def _put_parts(
        self, key: str, pieces: AsyncIterator[Piece], digest: Sha256, sha256: str, writer: str, if_absent: bool
    ) -> None:
        await self._marker.recent()
        upload = await self.multipart.begin(key, {_WRITER: writer})
        try:
            parts = await self.multipart.send(key, upload, pieces, digest)
            _compare(sha256, digest)
            await self._marker.recent()
            await self.multipart.complete(key, upload, parts, if_absent=if_absent)
        except BaseException:
            await self.multipart.abort(key, upload)
            raise

    async def _is_by(self, key: str, writer: str) -> bool:
        try:
            found = await self.call("head_object", key)
        except NotFound:
            return False
        return bool(found.get("Metadata", {}).get(_WRITER) == writer)

    def get(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes, None]:
        check_key(key)
        if start < 0 or (end is not None and end < start):
            raise Invalid(f"{start} to {end} is not a range", field="start")
        return self._stream(key, start, end)

    async def _stream(self, key: str, start: int, end: int | None) -> AsyncGenerator[bytes, None]:
        await self._marker.recent()
        try:
            async with aclosing(s3_reads.stream(self.call, key, start, end)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except NotFound:
            await self._marker.now()
            raise
        except Unavailable as error:
            await self._marker.now()  # the storage is there: it is this object's trouble
            raise Unreadable(f"object {key!r} cannot be read: {error.message}") from error

    async def read(self, key: str, *, limit: int) -> bytes:
        data = bytearray()
        async with aclosing(self.get(key, end=limit + 1)) as chunks:
            async for chunk in chunks:
                data += chunk
        if len(data) > limit:
            raise TooLarge(f"object {key!r} is larger than {limit} bytes")
        return bytes(data)

    async def head(self, key: str) -> Stored | None:
        check_key(key)
        await self._marker.recent()
        try:
            found = await self.call("head_object", key, ChecksumMode="ENABLED")
        except NotFound:
            await self._marker.now()
            return None
        checksum = str(found.get("ChecksumSHA256", ""))
        # A composite checksum, of parts that others uploaded, is not the hash of the object.
        digest = "" if "-" in checksum else base64.b64decode(checksum).hex()
        return Stored(key, int(found["ContentLength"]), digest)

    async def delete(self, keys: Iterable[str]) -> None:
        names = [check_key(key) for key in keys]
        await self._marker.recent()
        for at in range(0, len(names), MOST_KEYS):
            batch = [{"Key": name} for name in names[at : at + MOST_KEYS]]
            done = await self.call("delete_objects", Delete={"Objects": batch, "Quiet": True})
            if errors := done.get("Errors"):
                raise HeadraceError(f"object storage refuses to delete {len(errors)} objects: {errors[0].get('Code')}")

    async def list(self, prefix: str) -> AsyncGenerator[Stored, None]:
        await self._marker.recent()
        more: dict[str, Any] = {}
        while True:
            page = await self.call("list_objects_v2", Prefix=prefix, **more)
            for item in page.get("Contents", ()):
                if item["Key"] != MARKER:
                    yield Stored(item["Key"], int(item["Size"]))
            if not page.get("IsTruncated"):
                break
            more = {"ContinuationToken": page["NextContinuationToken"]}
        await self._marker.now()  # what is not in the list is not there

    async def presign_get(self, key: str, expires: timedelta, filename: str = "") -> str:
        extra: dict[str, str | int] = {}
        if filename:
            extra["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        return await self._presign("get_object", key, expires, extra)

    async def presign_put(self, key: str, expires: timedelta, *, size: int, sha256: str) -> SignedPut:
        checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
        signed: dict[str, str | int] = {"ContentLength": size, "ChecksumSHA256": checksum}
        return SignedPut(await self._presign("put_object", key, expires, signed), {"x-amz-checksum-sha256": checksum})

    async def _presign(self, verb: str, key: str, expires: timedelta, extra: Mapping[str, str | int]) -> str:
        check_expiry(expires)
        parameters = {"Bucket": self.call.bucket, "Key": check_key(key), **extra}
        await self._marker.recent()
        url = await self._public.generate_presigned_url(verb, parameters, ExpiresIn=int(expires.total_seconds()))
        return str(url)

    async def check(self) -> str:
        call = Caller(self._prober, self.call.bucket, 0, self.call.backoff)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._guard.admit(await Bucket(call).marker(), str(self.bucket))
        except TimeoutError:
            return f"{self.bucket}: no answer within {PATIENCE:g} s"
        except HeadraceError as error:
            return error.message
        return "ok"

    async def sweep(self, older_than: timedelta, prefix: str = "") -> int:
        """Aborts uploads that a killed process left behind; how many. They are invisible, but take up space."""
        await self._marker.recent()
        before, swept = datetime.now(UTC) - older_than, 0
        more: dict[str, Any] = {}
        while True:
            page = await self.call("list_multipart_uploads", Prefix=prefix, **more)
            for upload in page.get("Uploads", ()):
                if upload["Initiated"] < before:
                    await self.multipart.abort(upload["Key"], upload["UploadId"])
                    swept += 1
            if not page.get("IsTruncated"):
                return swept
            more = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def close(self) -> None:
        """Waits for aborts that were begun while their caller was cancelled."""
        await self.multipart.close()


async def _chain(first: Piece, second: Piece, rest: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    yield first
    yield second
    async for piece in rest:
        yield piece


def _compare(expected: str, digest: Sha256) -> None:
    if expected and expected.lower() != digest.hex():
        raise Invalid(f"the bytes hash to {digest.hex()}, not to {expected}", field="sha256")


@asynccontextmanager
async def open_objects(
    settings: ObjectsSettings,
    *,
    record: Record | None = None,
    name: str = "",
    part: int = PART,
    fresh: float = FRESH,
    backoff: Backoff = Backoff(first=0.1, ceiling=2),
) -> AsyncIterator[S3Objects]:
    """A client of the bucket. The store need not be up yet.

    `name`: what the storage's marker has to say, the bucket's name unless it is given. `record`: keeps its id where
    `s3_storage_id` does not say it. `fresh`: seconds for which the marker is believed. SystemExit for a store that would be reached
    over a network in plain text.
    """
    settings.check_encryption()
    config = AioConfig(
        signature_version="s3v4",
        s3={"addressing_style": "path", "payload_signing_enabled": False},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"max_attempts": 0},  # we try again ourselves: longer, and with the store's restarts in mind
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=64,
        **({"proxies": {}} if settings.is_loopback else {}),
    )
    session = aioboto3.Session(
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key,
        region_name=settings.s3_region,
    )
    async with AsyncExitStack() as stack:

        def connect(endpoint: str) -> Any:
            verify = settings.s3_ca_file or None
            return stack.enter_async_context(session.client("s3", endpoint_url=endpoint, config=config, verify=verify))

        client = await connect(settings.s3_endpoint)
        public = client
        if settings.s3_public_endpoint:
            public = await connect(settings.s3_public_endpoint)
        # Of its own, so that a check says how the store is and not how busy the connections are.
        prober = await connect(settings.s3_endpoint)
        call = Caller(client, settings.s3_bucket, settings.s3_patience, backoff)
        guard = Guard(name or settings.s3_bucket, settings.s3_storage_id, record)
        objects = S3Objects(call, public, prober, guard, part=part, fresh=fresh)
        stack.push_async_callback(objects.close)
        yield objects
