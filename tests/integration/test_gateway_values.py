"""The bytes of results through the edge: inline when small, streamed to and from object storage otherwise."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from shared.contracts import compute as c
from shared.contracts.errors import Conflict
from shared.contracts.topology import INLINE_LIMIT
from shared.objects.layout import RESULTS
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import TOKEN, Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture
async def gateway(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(nats, database, s3, tmp_path) as started:
        yield started


async def stored(gateway: Gateway, s3: Bucket) -> list[str]:
    async with gateway.servers.s3_client() as client:
        found = await client.list_objects_v2(Bucket=s3.s3_bucket, Prefix=RESULTS)
        return [entry["Key"] for entry in found.get("Contents", ())]


async def test_small_values_travel_inline(gateway: Gateway, s3: Bucket) -> None:
    result = gateway.scheduler.result(uuid4()).id
    url = f"/compute/v1/results/{result}/data"
    for value in (b"", b"\x00\xffabc", b"x" * INLINE_LIMIT):
        assert (await gateway.http.put(url, content=value)).status_code == 200
        asked = gateway.scheduler.asked("result.complete")[-1][1]
        assert (asked.data, asked.object, asked.size) == (value, None, len(value))
        got = await gateway.http.get(url)
        assert (got.content, got.headers["content-length"]) == (value, str(len(value)))
    got = await gateway.http.get(url, headers={"Range": "bytes=2-3"})
    assert (got.status_code, got.content, got.headers["content-range"]) == (206, b"xx", f"bytes 2-3/{INLINE_LIMIT}")
    assert await stored(gateway, s3) == []


async def test_large_values_are_objects(gateway: Gateway, s3: Bucket) -> None:
    session = uuid4()
    result = gateway.scheduler.result(session).id
    url = f"/compute/v1/results/{result}/data"
    block = bytes(range(256)) * 4096

    async def body() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield block

    put = await gateway.http.put(url, content=body())
    assert put.status_code == 200, put.text
    asked = gateway.scheduler.asked("result.complete")[-1][1]
    assert asked.data is None
    assert asked.size == 20 * len(block)
    assert asked.object.startswith(f"results/{session}/{result}/")
    got = await gateway.http.get(url)
    assert got.headers["content-length"] == str(asked.size)
    assert hashlib.sha256(got.content).digest() == hashlib.sha256(block * 20).digest()
    part = await gateway.http.get(url, headers={"Range": "bytes=1000000-3000000"})
    assert (part.status_code, part.content) == (206, (block * 20)[1_000_000:3_000_001])
    tail = await gateway.http.get(url, headers={"Range": "bytes=-5"})
    assert tail.content == (block * 20)[-5:]
    beyond = await gateway.http.get(url, headers={"Range": f"bytes={asked.size}-"})
    assert (beyond.status_code, beyond.json()["field"]) == (416, "Range")


async def test_a_writer_that_comes_second_removes_its_own_object(gateway: Gateway, s3: Bucket) -> None:
    done = gateway.scheduler.result(uuid4(), "completed").id
    answer = await gateway.http.put(f"/compute/v1/results/{done}/data", content=b"x" * 20_000)
    assert answer.status_code == 409
    assert await stored(gateway, s3) == []
    raced = gateway.scheduler.result(uuid4()).id
    gateway.scheduler.failing["result.complete"] = Conflict("it is COMPLETED")
    answer = await gateway.http.put(f"/compute/v1/results/{raced}/data", content=b"x" * 20_000)
    assert (answer.status_code, answer.json()["detail"]) == (409, "it is COMPLETED")
    assert await stored(gateway, s3) == []
    unknown = await gateway.http.put(f"/compute/v1/results/{uuid4()}/data", content=b"x" * 20_000)
    assert unknown.status_code == 404


def digest(value: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(value).digest()).decode()}:"


def before(value: bytes) -> str:
    """As it was said before RFC 9530."""
    return f"SHA-256={base64.b64encode(hashlib.sha256(value).digest()).decode()}"


@pytest.mark.parametrize("value", [b"small", b"large " * 5_000, b"in parts " * 2_000_000], ids=len)
async def test_a_digest_is_checked_and_told(gateway: Gateway, s3: Bucket, value: bytes) -> None:
    refused = gateway.scheduler.result(uuid4()).id
    url = f"/compute/v1/results/{refused}/data"
    few = 1 if len(value) > 1_000_000 else None
    wrong = [
        ("Repr-Digest", digest(b"another")),
        ("Content-Digest", f"sha-512=:AAAA:, {digest(b'another')}"),
        ("Digest", before(b"another")),
    ]
    right = [{"Repr-Digest": digest(value)}, {}, {"Digest": before(value)}, {"Repr-Digest": "sha-512=:AAAA:"}]
    for name, said in wrong[:few]:
        answer = await gateway.http.put(url, content=value, headers={name: said})
        assert (answer.status_code, answer.json()["field"]) == (400, name), answer.text
    for said in ("sha-256=:AAAA:", "sha-256=:?:", digest(value).replace(":", ""), f"sha-256={'A' * 44}"):
        answer = await gateway.http.put(url, content=value, headers={"Repr-Digest": said})
        assert (answer.status_code, answer.json()["field"]) == (400, "Repr-Digest"), said
    assert not gateway.scheduler.asked("result.complete")
    assert await stored(gateway, s3) == []
    for headers in right[:few]:
        url = f"/compute/v1/results/{gateway.scheduler.result(uuid4()).id}/data"
        answer = await gateway.http.put(url, content=value, headers=headers)
        assert answer.status_code == 200, answer.text
        assert gateway.scheduler.asked("result.complete")[-1][1].sha256 == hashlib.sha256(value).hexdigest()
    got = await gateway.http.get(url)
    assert (got.content, got.headers["repr-digest"]) == (value, digest(value))
    assert got.headers["etag"] == f'"{hashlib.sha256(value).hexdigest()}"'


async def test_what_a_client_has_is_not_sent_again(gateway: Gateway) -> None:
    url = f"/compute/v1/results/{gateway.scheduler.result(uuid4()).id}/data"
    await gateway.http.put(url, content=b"0123456789")
    tag = (await gateway.http.get(url)).headers["etag"]
    for has in (tag, f'"other", W/{tag}', "*"):
        answer = await gateway.http.get(url, headers={"If-None-Match": has})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert (await gateway.http.get(url, headers={"If-None-Match": '"other"'})).status_code == 200
    on = await gateway.http.get(url, headers={"Range": "bytes=4-", "If-Range": tag})
    assert (on.status_code, on.content) == (206, b"456789")
    anew = await gateway.http.get(url, headers={"Range": "bytes=4-", "If-Range": '"other"'})
    assert (anew.status_code, anew.content) == (200, b"0123456789")


async def test_what_a_task_produces_takes_no_upload(gateway: Gateway, s3: Bucket) -> None:
    result = gateway.scheduler.result(uuid4())
    gateway.scheduler.results[result.id] = msgspec.structs.replace(result, owner_task=uuid4())
    answer = await gateway.http.put(f"/compute/v1/results/{result.id}/data", content=b"x" * 20_000)
    assert (answer.status_code, "produced by task" in answer.json()["detail"]) == (409, True)
    assert not gateway.scheduler.asked("result.complete")
    assert await stored(gateway, s3) == []


async def test_import_delete_and_wait_are_passed_on(gateway: Gateway) -> None:
    session, one, two = uuid4(), uuid4(), uuid4()
    root = "/compute/v1"
    objects = [{"result": str(one), "object": "shared/a"}]
    answer = await gateway.http.post(f"{root}/sessions/{session}/results/import", json={"objects": objects})
    assert answer.status_code == 200, answer.text
    asked = c.ResultImport(session, [c.Import(one, "shared/a")])
    assert gateway.scheduler.asked("result.import")[0][1] == asked
    answer = await gateway.http.post(f"{root}/sessions/{session}/results/delete", json={"results": [str(one)]})
    assert answer.status_code == 200, answer.text
    assert gateway.scheduler.asked("result.delete")[0][1] == c.ResultDelete(session, [one])
    body = {"results": [str(one), str(two)], "any": True, "timeout": 1}
    async with await gateway.user("looker", "reader") as reader:
        answer = await reader.post(f"{root}/results/wait", json=body)
    assert (answer.status_code, answer.json()["open"]) == (200, [str(one), str(two)])
    assert gateway.scheduler.asked("result.wait")[0][1] == c.ResultWait([one, two], True, 1)


async def test_a_client_that_hangs_up_leaves_no_object(gateway: Gateway, s3: Bucket) -> None:
    result = gateway.scheduler.result(uuid4()).id
    _, writer = await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    writer.write(
        f"PUT /compute/v1/results/{result}/data HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Length: 50000000\r\n\r\n".encode()
    )
    writer.write(b"x" * 30_000_000)
    await writer.drain()
    await wait_until(lambda: gateway.scheduler.asked("result.get"))
    writer.close()
    await writer.wait_closed()

    async def uploads() -> int:
        async with gateway.servers.s3_client() as client:
            found = await client.list_multipart_uploads(Bucket=s3.s3_bucket)
            return len(found.get("Uploads", ()))

    async def none_left() -> bool:
        return await uploads() == 0

    await wait_until(none_left)
    assert await stored(gateway, s3) == []
    assert not gateway.scheduler.asked("result.complete")
