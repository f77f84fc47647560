"""Long-term storage by its address: a mounted share, or a bucket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from shared.objects.port import Store
from shared.objects.posix import PosixStore
from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings

MIB = 1024 * 1024


class LtsSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`lts_url`: `file:///path` (a mounted share) or `s3://bucket` (of the same object storage).

    `lts_name`: what the storage is called; sites say by it that their data are near. `lts_reserve_mib`: of a share, how much
    has to stay free.
    """

    lts_url: str
    lts_name: str = "lts"
    lts_reserve_mib: int = 0


@asynccontextmanager
async def open_lts(settings: LtsSettings, objects: ObjectsSettings) -> AsyncIterator[Store]:
    """The store at `lts_url`."""
    where = urlsplit(settings.lts_url)
    match where.scheme:
        case "file" if where.path.startswith("/") and not where.netloc:
            yield PosixStore(Path(unquote(where.path)), reserve=settings.lts_reserve_mib * MIB)
        case "s3" if where.netloc and where.path in ("", "/"):
            async with open_objects(msgspec.structs.replace(objects, s3_bucket=where.netloc)) as store:
                await store.ensure_bucket()
                yield store
        case _:
            raise SystemExit("HEADRACE_LTS_URL: file:///path or s3://bucket is expected")
