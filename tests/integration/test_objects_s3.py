"""The S3 adapter on a real store: the suite, URLs for others, and what is left behind."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import msgspec
import pytest
import pytest_asyncio

from shared.contracts.errors import Invalid
from shared.objects.multipart import PART
from shared.objects.s3 import S3Objects, open_objects
from shared.objects.settings import ObjectsSettings
from shared.testing.conformance_objects import ObjectsConformance, fresh, noise, stream, whole
from tests.conftest import Bucket

MIB = 1024 * 1024


@pytest.fixture
def settings(s3: Bucket) -> ObjectsSettings:
    return msgspec.convert(s3, ObjectsSettings, from_attributes=True)


@pytest_asyncio.fixture
async def objects(settings: ObjectsSettings) -> AsyncIterator[S3Objects]:
    async with open_objects(settings, part=5 * MIB) as objects:
        yield objects


class TestS3(ObjectsConformance):
    PART = 5 * MIB  # the least that S3 takes for a part


async def uploads(objects: S3Objects) -> list[str]:
    page = await objects._call("list_multipart_uploads")
    return [upload["Key"] for upload in page.get("Uploads", ())]


async def test_no_upload_is_left_open(objects: S3Objects) -> None:
    key = fresh()
    with pytest.raises(Invalid):
        await objects.put(key, stream(noise(20 * MIB)), sha256="0" * 64)
    assert key not in await uploads(objects)


async def test_what_a_killed_process_left_is_swept(objects: S3Objects) -> None:
    key, other = fresh("left"), fresh("other")
    for name in (key, other):
        await objects._multipart.begin(name, {})
    assert await objects.sweep(timedelta(hours=1), key) == 0
    assert await objects.sweep(timedelta(0), key) == 1
    left = await uploads(objects)
    assert key not in left
    assert other in left
    await objects.sweep(timedelta(0), other)


async def test_a_large_object_goes_and_comes_in_pieces(settings: ObjectsSettings) -> None:
    async with open_objects(settings) as objects:
        data, key = noise(5 * PART + 12345), fresh()
        stored = await objects.put(key, stream(*(data[at : at + MIB] for at in range(0, len(data), MIB))))
        assert stored.size == len(data)
        assert await whole(objects.get(key)) == data
        assert await whole(objects.get(key, start=PART - 3, end=2 * PART + 3)) == data[PART - 3 : 2 * PART + 3]
        await objects.delete([key])


async def test_urls_work_for_whoever_has_them(objects: S3Objects) -> None:
    key = fresh("result ü.bin")
    async with httpx.AsyncClient() as user:
        put = await objects.presign_put(key, timedelta(minutes=5))
        assert (await user.put(put, content=b"from outside")).is_success
        get = await objects.presign_get(key, timedelta(minutes=5), filename='a "b" ü.bin')
        answer = await user.get(get)
        assert answer.content == b"from outside"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20%22b%22%20%C3%BC.bin"
        assert (await user.get(get, headers={"Range": "bytes=5-"})).content == b"outside"
        assert (await user.put(get, content=b"x")).status_code == 403
        assert (await user.get(get.replace(key.split("/")[1], "other"))).status_code == 403
    assert await objects.read(key, limit=99) == b"from outside"


async def test_urls_name_the_public_address(settings: ObjectsSettings) -> None:
    public = msgspec.structs.replace(settings, s3_public_endpoint="https://objects.example.org")
    async with open_objects(public) as objects:
        url = await objects.presign_get("a/b", timedelta(minutes=1))
    assert url.startswith(f"https://objects.example.org/{settings.s3_bucket}/a/b?")


async def test_health_says_what_is_wrong(settings: ObjectsSettings) -> None:
    async with open_objects(msgspec.structs.replace(settings, s3_bucket="not-there")) as objects:
        assert "not-there" in await objects.check()
    async with open_objects(msgspec.structs.replace(settings, s3_endpoint="http://127.0.0.1:9")) as objects:
        assert "away" in await objects.check()
    async with open_objects(msgspec.structs.replace(settings, s3_secret_key="wrong")) as objects:
        assert await objects.check() != "ok"


async def test_a_bucket_is_made_if_there_is_none(settings: ObjectsSettings) -> None:
    other = msgspec.structs.replace(settings, s3_bucket=settings.s3_bucket + "-new")
    async with open_objects(other) as objects:
        await objects.ensure_bucket()
        await objects.ensure_bucket()
        assert await objects.check() == "ok"
        await objects._call("delete_bucket")
