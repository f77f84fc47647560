"""Submissions on their way through the edge: cut at line ends, streamed, whole or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from shared.contracts.errors import Invalid
from shared.contracts.ids import is_submission, submission_id
from shared.contracts.topology import MESSAGE_LIMIT
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import TOKEN, Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def gateway(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(nats, database, s3, tmp_path) as started:
        yield started


def lines(count: int, size: int = 100) -> bytes:
    return b"".join(b'{"payload": %d, "options": {"labels": {"a": "%b"}}}\n' % (n, b"x" * size) for n in range(count))


async def test_a_small_body_is_one_request(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    url = f"/compute/v1/sessions/{session}/submissions"
    answer = await gateway.http.post(url, content=lines(3), headers=NDJSON, params={"options": '{"function":"ä"}'})
    assert answer.status_code == 400
    assert answer.json()["field"] == "options.function"
    options = '{"function":"f","labels":{"k":"ä€😀"}}'
    answer = await gateway.http.post(url, content=lines(3), headers=NDJSON, params={"options": options})
    assert answer.status_code == 201
    [(ctx, body)] = gateway.scheduler.asked("submission.chunk")
    assert body == lines(3).rstrip()
    received = ctx.headers
    assert (received["Hr-Chunk"], received["Hr-First"], received["Hr-Last"]) == ("0", "0", "1")
    assert received["Hr-Session"] == str(session)
    assert is_submission(UUID(received["Hr-Submission"]))
    assert json.loads(received["Hr-Options"])["labels"] == {"k": "ä€😀"}


async def test_a_long_body_is_cut_at_line_ends_and_the_last_comes_last(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    body = lines(30_000)
    held = gateway.scheduler.holding["submission.chunk"] = asyncio.Event()
    sending = asyncio.create_task(
        gateway.http.post(f"/compute/v1/sessions/{session}/submissions", content=body, headers=NDJSON)
    )
    await wait_until(lambda: len(gateway.scheduler.asked("submission.chunk")) == 4)
    assert not any("Hr-Last" in ctx.headers for ctx, _ in gateway.scheduler.asked("submission.chunk"))
    held.set()
    assert (await sending).status_code == 201
    seen = sorted(gateway.scheduler.asked("submission.chunk"), key=lambda one: int(one[0].headers["Hr-Chunk"]))
    assert b"".join(chunk for _, chunk in seen) == body.rstrip()
    assert all(len(chunk) <= MESSAGE_LIMIT for _, chunk in seen)
    first = 0
    for number, (ctx, chunk) in enumerate(seen):
        assert int(ctx.headers["Hr-Chunk"]) == number
        assert int(ctx.headers["Hr-First"]) == first
        assert ("Hr-Last" in ctx.headers) == (number == len(seen) - 1)
        first += chunk.rstrip().count(b"\n") + 1
    assert gateway.scheduler.asked("submission.chunk")[-1][0].headers["Hr-Last"] == "1"
    assert len({ctx.headers["Hr-Submission"] for ctx, _ in seen}) == 1


async def test_an_error_names_the_line_of_the_body(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    gateway.scheduler.failing["submission.chunk"] = Invalid("no such result", field="tasks[7].inputs[0]")
    url = f"/compute/v1/sessions/{session}/submissions"
    answer = await gateway.http.post(url, content=lines(10), headers=NDJSON)
    assert (answer.status_code, answer.json()["field"]) == (400, "tasks[7].inputs[0]")
    answer = await gateway.http.post(url, content=lines(30_000), headers=NDJSON)
    seen = {int(ctx.headers["Hr-First"]) for ctx, _ in gateway.scheduler.asked("submission.chunk")}
    assert answer.json()["field"] in {f"tasks[{line + 7}].inputs[0]" for line in seen}
    assert not any(
        "Hr-Last" in ctx.headers for ctx, body in gateway.scheduler.asked("submission.chunk") if len(body) > 10_000
    )


async def test_a_client_that_hangs_up_leaves_nothing_visible(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    port = int(gateway.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = lines(20_000)
    writer.write(
        f"POST /compute/v1/sessions/{session}/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body) + 1}\r\n\r\n".encode()
    )
    writer.write(body)
    await writer.drain()
    await wait_until(lambda: len(gateway.scheduler.asked("submission.chunk")) >= 3)
    writer.close()
    await writer.wait_closed()
    assert await reader.read() == b""
    assert (await gateway.http.get("/health/live")).status_code == 200
    # Chunks that were on their way may still have come; the one that would make them count has not.
    assert not any("Hr-Last" in ctx.headers for ctx, _ in gateway.scheduler.asked("submission.chunk"))


async def test_bodies_that_cannot_be_sent_on(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    url = f"/compute/v1/sessions/{session}/submissions"

    async def refused(content: bytes, **options: object) -> tuple[int, str]:
        answer: httpx.Response = await gateway.http.post(url, content=content, **{"headers": NDJSON, **options})  # type: ignore[arg-type]
        return answer.status_code, answer.json().get("field", "")

    long = b'{}\n{"payload": "' + b"x" * MESSAGE_LIMIT + b'"}\n{}\n'
    assert await refused(long) == (413, "tasks[1]")
    assert await refused(b"") == (400, "tasks")
    assert await refused(b"\n \n\r\n") == (400, "tasks")
    assert await refused(b"{}", params={"id": str(uuid4())}) == (400, "id")
    assert await refused(b"{}", params={"options": "{"}) == (400, "options")
    assert await refused(b"{}", headers={"Content-Type": "text/csv"}) == (415, "Content-Type")
    plain = {"Content-Type": "application/json"}
    assert await refused(b'{"tasks": []}', headers=plain) == (400, "tasks")
    assert await refused(b'{"tasks": [{}, {"inputs": 3}]}', headers=plain) == (400, "tasks[1].inputs")
    assert await refused(b'{"tasks": [{"payloda": 3}]}', headers=plain) == (400, "tasks[0].payloda")
    big = json.dumps({"tasks": [{"payload": "x" * 600_000}]}).encode()
    assert await refused(big, headers=plain) == (413, "body")
    answer = await gateway.http.post(url, content=big, headers=plain)
    assert "ndjson" in answer.json()["detail"]
    assert not gateway.scheduler.seen


async def test_the_same_key_gives_the_same_submission(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    url = f"/compute/v1/sessions/{session}/submissions"
    key = {"Idempotency-Key": "once"}
    first = (await gateway.http.post(url, content=lines(1), headers=NDJSON | key)).json()["id"]
    again = (await gateway.http.post(url, content=lines(1), headers=NDJSON | key)).json()["id"]
    other = (await gateway.http.post(url, content=lines(1), headers=NDJSON)).json()["id"]
    assert first == again != other
    assert is_submission(UUID(first))
    assert all(not ctx.key for ctx, _ in gateway.scheduler.asked("submission.chunk"))
    whole = {"tasks": [{"payload": {"a": 1}, "outputs": 2}], "options": {"function": "f"}}
    made = (await gateway.http.post(url, json=whole, headers=key)).json()["id"]
    assert made == first
    [(ctx, asked)] = gateway.scheduler.asked("submission.create")
    assert ctx.key == "once"
    assert (bytes(asked.tasks[0].payload), asked.tasks[0].outputs, asked.options.function) == (b'{"a":1}', 2, "f")
    own = submission_id()
    made = await gateway.http.post(url, content=lines(1), headers=NDJSON, params={"id": str(own)})
    assert made.json()["id"] == str(own)
