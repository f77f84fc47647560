"""Storages: giving one its identity, for operators. It works on the storage itself, not through the gateway."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from shared.client.cli.options import PLAIN, Output, add
from shared.client.errors import FailedError, UsageError


def register(app: App) -> None:
    """Adds the commands of this module to `app`."""
    storage = App(
        name="storage",
        help="Storages: shares and buckets, each with a marker that says which one it is.",
        help_epilogue="Examples:\n\nheadrace storage init lts-a file:///mnt/lts-a",
    )
    add(storage, init)
    app.command(storage)


def init(
    name: str,
    url: str,
    /,
    *,
    in_use: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="It holds data already, of a version that had no markers."),
    ] = False,
    output: Output = PLAIN,
) -> None:
    """Make a share or a bucket a storage: write the marker that says which one it is.

    Once. Without it, or with another one's, no service writes or reads there. A bucket is made if there is none; its server
    and keys are read from HEADRACE_S3_ENDPOINT, HEADRACE_S3_ACCESS_KEY, HEADRACE_S3_SECRET_KEY and HEADRACE_S3_REGION.

    Parameters
    ----------
    name
        What the storage is called: HEADRACE_LTS_NAME for long-term storage, the bucket's own name for HEADRACE_S3_BUCKET.
    url
        `file:///path` (a mounted share) or `s3://bucket`.

    Examples:

    headrace storage init lts-a file:///mnt/lts-a

    headrace storage init headrace s3://headrace
    """
    from shared.client.cli import show
    from shared.contracts.errors import HeadraceError
    from shared.objects.layout import MARKER
    from shared.objects.lts import address
    from shared.objects.storage_init import init_folder

    place = address(url)
    if place is None:
        raise UsageError(f"{url}: file:///path or s3://bucket is expected")
    try:
        if isinstance(place, Path):
            identity = init_folder(place, name, in_use=in_use)
        else:
            identity = _init_bucket(place, name, in_use)
    except HeadraceError as error:
        raise FailedError(error.message) from None
    except OSError as error:
        raise FailedError(f"{place}: {error.strerror}") from None
    reply = {"name": identity.name, "id": str(identity.id), "created_at": identity.created_at, "marker": MARKER}
    if output.json:
        show.document(reply)
    else:
        show.facts(reply.items())


def _init_bucket(bucket: str, name: str, in_use: bool) -> Any:
    import asyncio

    import msgspec

    from shared.objects.s3 import open_objects
    from shared.objects.settings import ObjectsSettings
    from shared.objects.storage_init import init_bucket
    from shared.runtime.settings import load

    try:
        settings = msgspec.structs.replace(load(ObjectsSettings), s3_bucket=bucket)
    except SystemExit as error:  # which setting is missing
        raise UsageError(str(error)) from None

    async def run() -> Any:
        async with open_objects(settings) as objects:
            return await init_bucket(objects.bucket, name, in_use=in_use)

    return asyncio.run(run())
