"""A bucket of a test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import msgspec

from shared.objects.s3 import open_objects
from shared.objects.settings import ObjectsSettings
from shared.objects.storage_init import init_bucket
from tests.support.servers import Servers


class Bucket(msgspec.Struct, frozen=True):
    """A bucket of this test alone. The fields are the settings' names without their prefix."""

    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    s3_region: str
    s3_bucket: str


@asynccontextmanager
async def new_bucket(servers: Servers) -> AsyncIterator[Bucket]:
    """As the fixture `s3`, for fixtures that live longer than a test."""
    name = f"test-{uuid4().hex[:16]}"
    made = Bucket(servers.s3_endpoint, servers.s3_access_key, servers.s3_secret_key, servers.s3_region, name)
    async with servers.s3_client() as client:
        async with open_objects(ObjectsSettings(**msgspec.structs.asdict(made))) as objects:
            await init_bucket(objects.bucket, name)
        yield made
        async for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
            for entry in page.get("Contents", ()):
                await client.delete_object(Bucket=name, Key=entry["Key"])
        await client.delete_bucket(Bucket=name)
