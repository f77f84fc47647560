"""The S3 adapter on a real store: the suite, URLs for others, and what is left behind."""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import msgspec
import pytest
import pytest_asyncio

from shared.client.object_storage import ObjectStorage
from shared.client.upload_addresses import Address, Addresses
from shared.client.uploads import upload_all
from shared.contracts.errors import Conflict, Invalid, Unavailable
from shared.objects.layout import MARKER
from shared.objects.multipart import PART
from shared.objects.s3 import S3Objects, open_objects
from shared.objects.settings import ObjectsSettings
from shared.objects.storage_init import init_bucket
from shared.testing.conformance_objects import ObjectsConformance, Replaced, fresh, noise, stream, whole
from tests.support.buckets import Bucket
from tests.support.wait import wait_until

MIB = 1024 * 1024


@pytest.fixture
def settings(s3: Bucket) -> ObjectsSettings:
    return msgspec.convert(s3, ObjectsSettings, from_attributes=True)


@pytest_asyncio.fixture
async def objects(settings: ObjectsSettings) -> AsyncIterator[S3Objects]:
    async with open_objects(settings, part=5 * MIB, fresh=0) as objects:
        yield objects


@pytest.fixture
def replaced(objects: S3Objects, settings: ObjectsSettings) -> Replaced:
    """As if another store answered at the address."""

    @asynccontextmanager
    async def replace(how: str) -> AsyncIterator[Callable[[], list[str]]]:
        call, name = objects.call, settings.s3_bucket
        other = msgspec.structs.replace(settings, s3_bucket=f"{name}-{how}", s3_patience=0.0)
        call.bucket, call.patience, there = other.s3_bucket, 0.0, []
        async with open_objects(other) as beside:
            if how == "empty":
                await beside.bucket.make()
            elif how != "missing":
                await init_bucket(beside.bucket, name if how == "other" else "another")
            yield lambda: there
            with contextlib.suppress(Unavailable):
                there += [item["Key"] for item in (await beside.call("list_objects_v2")).get("Contents", ())]
            assert set(there) <= {MARKER}
            if how != "missing":
                await beside.call("delete_object", MARKER)
                await beside.call("delete_bucket")
        call.bucket, call.patience = name, settings.s3_patience

    return replace


class TestS3(ObjectsConformance):
    PART = 5 * MIB  # the least that S3 takes for a part


async def uploads(objects: S3Objects) -> list[str]:
    page = await objects.call("list_multipart_uploads")
    return [upload["Key"] for upload in page.get("Uploads", ())]


async def test_no_upload_is_left_open(objects: S3Objects) -> None:
    key = fresh()
    with pytest.raises(Invalid):
        await objects.put(key, stream(noise(20 * MIB)), sha256="0" * 64)
    assert key not in await uploads(objects)


async def test_what_a_killed_process_left_is_swept(objects: S3Objects) -> None:
    key, other = fresh("left"), fresh("other")
    for name in (key, other):
        await objects.multipart.begin(name, {})
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
        sha256 = hashlib.sha256(b"from outside").hexdigest()
        put = await objects.presign_put(key, timedelta(minutes=5), size=12, sha256=sha256)
        assert (await user.put(put.url, content=b"from outside", headers=put.headers)).is_success
        get = await objects.presign_get(key, timedelta(minutes=5), filename='a "b" ü.bin')
        answer = await user.get(get)
        assert answer.content == b"from outside"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''a%20%22b%22%20%C3%BC.bin"
        assert (await user.get(get, headers={"Range": "bytes=5-"})).content == b"outside"
        assert (await user.put(get, content=b"x")).status_code == 403
        assert (await user.get(get.replace(key.split("/")[1], "other"))).status_code == 403
    assert await objects.read(key, limit=99) == b"from outside"


TEN = b"0123456789"


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def test_an_address_takes_only_the_bytes_that_it_was_signed_for(objects: S3Objects) -> None:
    """Find 3 of issue 11: 5 MB to a file of 10 bytes. What is signed is the size, the hash, the object, the verb, and for how long."""
    key, other = fresh(), fresh()
    put = await objects.presign_put(key, timedelta(minutes=5), size=10, sha256=hashlib.sha256(TEN).hexdigest())
    lie = {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"9876543210").digest()).decode()}
    bodies: list[tuple[bytes | AsyncIterator[bytes], dict[str, str], str]] = [
        (b"x" * 5_000_000, put.headers, put.url),
        (b"x" * 11, put.headers, put.url),
        (b"x" * 9, put.headers, put.url),
        (b"", put.headers, put.url),
        (chunks(b"x" * 5_000_000), put.headers, put.url),
        (chunks(TEN), put.headers, put.url),
        (b"9876543210", put.headers, put.url),
        (b"9876543210", lie, put.url),
        (b"9876543210", {}, put.url),
        (TEN, {}, put.url),
        (TEN, put.headers | {"x-amz-copy-source": f"/{objects.call.bucket}/{MARKER}"}, put.url),
        (TEN, put.headers, put.url.replace(key, other)),
        (TEN, put.headers, put.url.replace("X-Amz-Expires=300", "X-Amz-Expires=9000")),
        (TEN, put.headers, put.url + "&partNumber=1&uploadId=1"),
        (TEN, put.headers, put.url + "&tagging"),
        (TEN, put.headers, put.url + "&acl"),
    ]
    async with httpx.AsyncClient(trust_env=False) as user:
        for content, headers, url in bodies:
            answer = await user.put(url, content=content, headers=headers)
            assert answer.status_code in (400, 403), (answer.status_code, headers, url.partition("?")[0])
        for verb in ("GET", "DELETE", "HEAD"):
            assert (await user.request(verb, put.url)).status_code == 403
        assert [await objects.head(each) for each in (key, other)] == [None, None]
        assert (await user.put(put.url, content=TEN, headers=put.headers)).is_success
    stored = await objects.head(key)
    assert stored is not None
    assert (stored.size, stored.sha256) == (10, hashlib.sha256(TEN).hexdigest())


async def test_an_address_of_an_empty_object(objects: S3Objects) -> None:
    key = fresh()
    put = await objects.presign_put(key, timedelta(minutes=5), size=0, sha256=hashlib.sha256(b"").hexdigest())
    async with httpx.AsyncClient(trust_env=False) as user:
        assert (await user.put(put.url, content=b"x", headers=put.headers)).status_code == 403
        assert (await user.put(put.url, content=b"", headers=put.headers)).is_success
    assert await objects.read(key, limit=1) == b""


async def test_an_address_ends(objects: S3Objects) -> None:
    key = fresh()
    await objects.put(key, TEN)
    put = await objects.presign_put(key, timedelta(seconds=1), size=10, sha256=hashlib.sha256(TEN).hexdigest())
    get = await objects.presign_get(key, timedelta(seconds=1))
    async with httpx.AsyncClient(trust_env=False) as user:

        async def ended() -> bool:
            answers = [await user.put(put.url, content=TEN, headers=put.headers), await user.get(get)]
            return [answer.status_code for answer in answers] == [403, 403]

        await wait_until(ended)


class Large:
    """8 MiB, of which most is not sent yet when the store refuses an address."""

    path, size = "large", 8 * MIB

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        for _ in range(8):
            yield b"x" * MIB


async def test_the_client_asks_for_another_address_when_one_has_expired(objects: S3Objects) -> None:
    key, sha256 = fresh(), hashlib.sha256(b"x" * Large.size).hexdigest()
    asked, sent = 0, 0

    async def signed(seconds: int) -> Address:
        put = await objects.presign_put(key, timedelta(seconds=seconds), size=Large.size, sha256=sha256)
        return Address(put.url, put.headers)

    async def sign(paths: Sequence[str]) -> dict[str, Address]:
        nonlocal asked
        asked += 1
        return {path: old if asked == 1 else await signed(60) for path in paths}

    def count(more: int) -> None:
        nonlocal sent
        sent += more

    old = await signed(1)
    async with httpx.AsyncClient(trust_env=False) as user:

        async def ended() -> bool:
            return (await user.put(old.url, content=b"", headers=old.headers)).text.count("expired") == 1

        await wait_until(ended)
    async with ObjectStorage() as storage:
        await upload_all(storage, [Large()], Addresses(sign, ["large"]), count)
    assert (asked, sent) == (2, Large.size)
    stored = await objects.head(key)
    assert stored is not None
    assert (stored.size, stored.sha256) == (Large.size, sha256)


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


async def test_a_storage_is_made_once(settings: ObjectsSettings) -> None:
    """The bucket, and its marker; a bucket that holds something is taken for a storage only if that is said."""
    other = msgspec.structs.replace(settings, s3_bucket=settings.s3_bucket + "-new")
    async with open_objects(other) as objects:
        assert "no bucket" in await objects.check()
        made = await init_bucket(objects.bucket, other.s3_bucket)
        assert await init_bucket(objects.bucket, other.s3_bucket) == made
        assert await objects.check() == "ok"
        with pytest.raises(Conflict, match=other.s3_bucket):
            await init_bucket(objects.bucket, "another")
        await objects.call("delete_object", MARKER)
        assert "headrace storage init" in await objects.check()
        await objects.call("put_object", "from/before", body=b"x")
        with pytest.raises(Conflict, match="--in-use"):
            await init_bucket(objects.bucket, other.s3_bucket)
        again = await init_bucket(objects.bucket, other.s3_bucket, in_use=True)
        assert again.id != made.id
        assert str(made.id) in await objects.check()
        await objects.call("delete_objects", Delete={"Objects": [{"Key": "from/before"}, {"Key": MARKER}]})
        await objects.call("delete_bucket")


async def test_what_is_not_there_is_believed_of_the_right_bucket_only(settings: ObjectsSettings) -> None:
    """Also if the marker was right a moment ago."""
    key = fresh()
    quick = msgspec.structs.replace(settings, s3_patience=0.0)
    async with open_objects(quick, fresh=3600) as objects:
        await objects.put(key, b"x")
        objects.call.bucket += "-away"
        for call in (objects.head(key), objects.read(key, limit=9), whole(objects.get(key))):
            with pytest.raises(Unavailable):
                await call
        with pytest.raises(Unavailable):
            _ = [one async for one in objects.list(key)]


async def test_many_at_once_look_at_the_marker_once(settings: ObjectsSettings) -> None:
    async with open_objects(settings) as objects:
        looks = 0
        marker = objects.bucket.marker

        async def counted() -> bytes | None:
            nonlocal looks
            looks += 1
            return await marker()

        objects.bucket.marker = counted  # type: ignore[method-assign]
        keys = [fresh() for _ in range(20)]
        await asyncio.gather(*(objects.put(key, b"x") for key in keys))
        await asyncio.gather(*(objects.head(key) for key in keys))
        assert looks == 1
