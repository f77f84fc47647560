"""Large objects: 16 MiB parts, four at a time, complete only when every part and the whole are what they should be.

Four in flight for the client, not for each upload: memory is bounded whatever is uploaded at once (four parts, and one
being filled for each upload). Every part carries its CRC32, which the store compares; the SHA-256 of the whole runs along.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any, Final

from shared.contracts.errors import HeadraceError, NotFound, TooLarge
from shared.objects.hashing import Sha256, crc32
from shared.objects.pieces import Piece
from shared.objects.s3_calls import Caller
from shared.runtime.log import log

PART: Final = 16 * 1024 * 1024
MOST_PARTS: Final = 10_000
"""S3's limit. Larger objects need larger parts, which `part_length` gives when the size is known before."""
IN_FLIGHT: Final = 4
ABORT_PATIENCE: Final = 5.0
"""Seconds that an abort may take: short, because somebody waits for the error or the cancellation behind it."""


def part_length(size: int | None, smallest: int = PART) -> int:
    """Bytes per part for an object of `size`."""
    return max(smallest, -(-(size or 0) // MOST_PARTS))


class Multipart:
    """Uploads in parts, of one client."""

    def __init__(self, call: Caller) -> None:
        self._call = call
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._aborting: set[asyncio.Task[None]] = set()

    async def begin(self, key: str, metadata: dict[str, str]) -> str:
        """Begins an upload; returns its id."""
        made = await self._call("create_multipart_upload", key, ChecksumAlgorithm="CRC32", Metadata=metadata)
        return str(made["UploadId"])

    async def send(self, key: str, upload: str, pieces: AsyncIterator[Piece], digest: Sha256) -> list[dict[str, Any]]:
        """Uploads the pieces; returns the parts in order. The first error, here or in the source, ends it."""
        parts: list[dict[str, Any]] = []
        try:
            async with asyncio.TaskGroup() as sending:
                async for piece in pieces:
                    await digest.update(piece)
                    if len(parts) == MOST_PARTS:
                        raise TooLarge(f"more than {MOST_PARTS} parts of {PART} bytes; announce the size")
                    await self._room.acquire()
                    part: dict[str, Any] = {"PartNumber": len(parts) + 1}
                    parts.append(part)
                    task = sending.create_task(self._part(key, upload, part, piece))
                    # Not in the task: one that is cancelled before it begins would never give its room back.
                    task.add_done_callback(lambda _: self._room.release())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        return parts

    async def _part(self, key: str, upload: str, part: dict[str, Any], piece: Piece) -> None:
        checksum = base64.b64encode(await crc32(piece)).decode()
        number = part["PartNumber"]
        done = await self._call(
            "upload_part", key, body=piece, UploadId=upload, PartNumber=number, ChecksumCRC32=checksum
        )
        part.update(ETag=done["ETag"], ChecksumCRC32=checksum)

    async def complete(self, key: str, upload: str, parts: list[dict[str, Any]], *, if_absent: bool) -> None:
        """Completes the upload: the object exists from now on, whole."""
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {}
        await self._call(
            "complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts}, **condition
        )

    async def abort(self, key: str, upload: str) -> None:
        """Throws away what was uploaded. It is done even when the caller is being cancelled."""
        task = asyncio.get_running_loop().create_task(self._abort(key, upload))
        self._aborting.add(task)
        task.add_done_callback(self._aborting.discard)
        await asyncio.shield(task)

    async def _abort(self, key: str, upload: str) -> None:
        try:
            await self._call("abort_multipart_upload", key, patience=ABORT_PATIENCE, UploadId=upload)
        except NotFound:
            return
        except HeadraceError as error:  # what caused the abort matters more; `S3Objects.sweep` finds the rest
            log.warning("objects.abort_failed", key=key, error=error.message)

    async def close(self) -> None:
        """Waits for aborts that are under way."""
        if self._aborting:
            await asyncio.wait(self._aborting, timeout=2 * ABORT_PATIENCE)
