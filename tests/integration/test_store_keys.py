"""The keys of the embedded store, on the store itself: each service's opens its prefixes, and is refused everywhere else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import aioboto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.local.s3 import BUCKET, REGION
from deploy.local.stack import Stack
from deploy.s3.permissions import RIGHTS, USERS, kind, rights
from shared.objects.layout import MARKER
from shared.objects.s3 import S3Objects, open_objects
from shared.objects.settings import ObjectsSettings

PREFIXES = ("results/", "landing/", "staging/", "retrieval/", "datasets/", "shelf/", "resultsx/")
IMPORTS = ("shelf/",)
REFUSED = ("AccessDenied", "403", "InvalidRequest")
"""The last for keys that lead up."""
Call = Callable[[Any, str], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "read": lambda client, key: client.get_object(Bucket=BUCKET, Key=key),
    "read (head)": lambda client, key: client.head_object(Bucket=BUCKET, Key=key),
    "write": lambda client, key: client.put_object(Bucket=BUCKET, Key=f"{key}-new", Body=b"x"),
    "write (parts)": lambda client, key: client.create_multipart_upload(Bucket=BUCKET, Key=f"{key}-parts"),
    "write (copy)": lambda client, key: client.copy_object(
        Bucket=BUCKET, Key=f"{key}-copy", CopySource={"Bucket": BUCKET, "Key": key}
    ),
    "delete": lambda client, key: client.delete_object(Bucket=BUCKET, Key=f"{key}-gone"),
    "list": lambda client, key: client.list_objects_v2(Bucket=BUCKET, Prefix=key.rpartition("/")[0] + "/"),
    "list (uploads)": lambda client, key: client.list_multipart_uploads(
        Bucket=BUCKET, Prefix=key.rpartition("/")[0] + "/"
    ),
}
NOBODY: dict[str, Call] = {
    "write the marker": lambda client, _: client.put_object(Bucket=BUCKET, Key=MARKER, Body=b"{}"),
    "delete the marker": lambda client, _: client.delete_object(Bucket=BUCKET, Key=MARKER),
    "list all": lambda client, _: client.list_objects_v2(Bucket=BUCKET),
    "list by a beginning": lambda client, _: client.list_objects_v2(Bucket=BUCKET, Prefix="re"),
    "list uploads": lambda client, _: client.list_multipart_uploads(Bucket=BUCKET),
    "list versions": lambda client, _: client.list_object_versions(Bucket=BUCKET),
    "policy": lambda client, _: client.put_bucket_policy(
        Bucket=BUCKET, Policy='{"Version":"2012-10-17","Statement":[]}'
    ),
    "bucket acl": lambda client, _: client.put_bucket_acl(Bucket=BUCKET, ACL="public-read-write"),
    "versioning": lambda client, _: client.put_bucket_versioning(
        Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"}
    ),
    "make a bucket": lambda client, _: client.create_bucket(Bucket="another"),
    "delete the bucket": lambda client, _: client.delete_bucket(Bucket=BUCKET),
    "another bucket": lambda client, _: client.get_object(Bucket="beside", Key="results/a"),
    "by a detour": lambda client, _: client.get_object(Bucket=BUCKET, Key="results/../secret"),
}


@pytest.fixture(scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with Stack(tmp_path_factory.mktemp("keys") / "home", start=("s3",), throwaway=True, imports=IMPORTS) as stack:
        async with stack.s3.client() as operator:
            for prefix in PREFIXES:
                await operator.put_object(Bucket=BUCKET, Key=f"{prefix}a", Body=b"kept")
            await operator.put_object(Bucket=BUCKET, Key="secret", Body=b"kept")
            await operator.create_bucket(Bucket="beside")
            await operator.put_object(Bucket="beside", Key="results/a", Body=b"kept")
        yield stack


def settings(stack: Stack, user: str) -> ObjectsSettings:
    access, secret = stack.s3.key(user)
    return ObjectsSettings(
        s3_endpoint=stack.s3.url, s3_access_key=access, s3_secret_key=secret, s3_region=REGION, s3_bucket=BUCKET
    )


@asynccontextmanager
async def client_of(stack: Stack, user: str) -> AsyncIterator[Any]:
    access, secret = stack.s3.key(user)
    config = Config(proxies={}, retries={"max_attempts": 0}, request_checksum_calculation="when_required")
    session = aioboto3.Session(access, secret, region_name=REGION)
    async with session.client("s3", endpoint_url=stack.s3.url, config=config) as client:
        yield client


async def is_refused(call: Awaitable[Any]) -> bool:
    try:
        await call
    except ClientError as error:
        if error.response["Error"]["Code"] not in REFUSED:
            raise
        return True
    return False


@pytest.mark.parametrize("user", USERS)
async def test_a_key_opens_its_prefixes_and_no_others(stack: Stack, user: str) -> None:
    allowed = rights(user, IMPORTS)
    async with client_of(stack, user) as client:
        tried = [(name, prefix) for name in CALLS for prefix in PREFIXES]
        refused = await asyncio.gather(*(is_refused(CALLS[name](client, f"{prefix}a")) for name, prefix in tried))
        opened = {one for one, no in zip(tried, refused, strict=True) if not no}
        expected = {(name, prefix) for name, prefix in tried if name.split()[0] in allowed.get(prefix, ())}
        assert opened == expected
        for name, call in NOBODY.items():
            assert await is_refused(call(client, "")), name


@pytest.mark.parametrize("user", USERS)
async def test_the_marker_is_seen_by_all(stack: Stack, user: str) -> None:
    async with open_objects(settings(stack, user)) as objects:
        assert await objects.check() == "ok"


async def test_parts_go_with_the_key_of_their_object(stack: Stack) -> None:
    """Neither another's upload nor another's object becomes a part of one's own."""
    async with client_of(stack, "archiver") as archiver, client_of(stack, "worker") as worker:
        theirs = (await archiver.create_multipart_upload(Bucket=BUCKET, Key="landing/big"))["UploadId"]
        mine = (await worker.create_multipart_upload(Bucket=BUCKET, Key="results/big"))["UploadId"]
        for call in (
            worker.upload_part(Bucket=BUCKET, Key="landing/big", UploadId=theirs, PartNumber=1, Body=b"x"),
            worker.abort_multipart_upload(Bucket=BUCKET, Key="landing/big", UploadId=theirs),
            worker.upload_part_copy(
                Bucket=BUCKET,
                Key="results/big",
                UploadId=mine,
                PartNumber=1,
                CopySource={"Bucket": BUCKET, "Key": "landing/a"},
            ),
        ):
            assert await is_refused(call)
        with pytest.raises(ClientError, match="NoSuchUpload"):
            await worker.upload_part(Bucket=BUCKET, Key="results/big", UploadId=theirs, PartNumber=1, Body=b"x")


async def test_an_address_can_do_no_more_than_the_key_that_signed_it(stack: Stack) -> None:
    async with AsyncExitStack() as opened, httpx.AsyncClient(trust_env=False) as user:
        objects: dict[str, S3Objects] = {
            name: await opened.enter_async_context(open_objects(settings(stack, name)))
            for name in ("archiver", "retriever")
        }
        url = await objects["retriever"].presign_get("landing/a", timedelta(minutes=1))
        assert (await user.get(url)).status_code == 403
        url = await objects["archiver"].presign_get("landing/a", timedelta(minutes=1))
        assert (await user.get(url)).content == b"kept"


async def test_what_the_stack_keeps_is_for_its_owner_only(stack: Stack) -> None:
    """The home, all that lies in it at its top, and all that the server has made."""
    async with client_of(stack, "worker") as client:
        await client.put_object(Bucket=BUCKET, Key="results/b", Body=b"x" * 100_000)
    home = stack.home.path
    paths = [home, *home.iterdir(), *(home / "s3").rglob("*"), *(home / "logs").rglob("*")]
    ours = [path for path in paths if path.suffix != ".vif"]  # a volume's properties: SeaweedFS gives it a mode itself
    assert [str(path) for path in ours if path.lstat().st_mode & 0o077] == []


def test_every_user_has_rights_that_are_said() -> None:
    assert {kind(user) for user in USERS} == set(RIGHTS)
    assert len({*USERS}) == len(USERS)
