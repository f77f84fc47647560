"""Long-term storage by its address: a mounted share, or a bucket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import UUID

import msgspec

from shared.objects.identity import Guard, Record
from shared.objects.port import Store
from shared.objects.posix import PosixStore
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings

MIB = 1024 * 1024


class LtsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`lts_url`: `file:///path` (a mounted share) or `s3://bucket` (of the same object storage).

    `lts_name`: what the storage is called, also by its own marker; sites say by it that their data are near. `lts_id`: its
    identity, as the marker says it (identity.py); if it is not given, the one that is seen first counts. `lts_reserve_mib`: of
    a share, how much has to stay free.
    """

    lts_url: str
    lts_name: str = "lts"
    lts_id: UUID | None = None
    lts_reserve_mib: int = 0


@asynccontextmanager
async def open_lts(
    settings: LtsSettings, objects: ObjectsSettings, *, record: Record | None = None
) -> AsyncIterator[Store]:
    """The store at `lts_url`. It need not be there yet, and is not made. `record`: keeps its id where `lts_id` does not say it."""
    place = address(settings.lts_url)
    if place is None:
        raise SystemExit("HEADRACE_LTS_URL: file:///path or s3://bucket is expected")
    if isinstance(place, Path):
        guard = Guard(settings.lts_name, settings.lts_id, record)
        yield PosixStore(place, guard, reserve=settings.lts_reserve_mib * MIB)
        return
    bucket = msgspec.structs.replace(objects, s3_bucket=place, s3_storage_id=settings.lts_id)
    async with open_objects(bucket, record=record, name=settings.lts_name) as store:
        yield store


def address(url: str) -> Path | str | None:
    """A folder (`file:///path`) or a bucket's name (`s3://bucket`); None if the URL is neither."""
    where = urlsplit(url)
    match where.scheme:
        case "file" if where.path.startswith("/") and not where.netloc:
            return Path(unquote(where.path))
        case "s3" if where.netloc and where.path in ("", "/"):
            return where.netloc
    return None
