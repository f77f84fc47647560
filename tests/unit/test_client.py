"""The Python client against set answers: what is repeated, what is raised, how lists and events go on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from shared.client import Address, Headrace, Patience, events, http
from shared.client.errors import (
    ClientError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
)
from shared.contracts.compute import Condition, Options
from shared.runtime.retry import Backoff

SESSION = UUID(int=7)
SUBMISSION = {"id": str(UUID(int=8)), "session": str(SESSION), "status": "visible", "chunks": 1, "tasks": 2}
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF", Backoff(first=0))
    monkeypatch.setattr(events, "PAUSE", 0.0)


def client(answer: Answer | Iterator[Any], patience: Patience = Patience()) -> tuple[Headrace, list[httpx.Request]]:
    """`answer`: a function, or the replies in their order: a status, or an error to raise. And the requests that come."""
    seen: list[httpx.Request] = []

    async def handle(request: httpx.Request) -> httpx.Response:
        await request.aread()
        seen.append(request)
        if callable(answer):
            return answer(request)
        reply = next(answer)
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, httpx.Response) else httpx.Response(reply, json={"detail": "so it is"})

    transport = httpx.MockTransport(handle)
    return Headrace(Address("http://headrace", "secret"), patience=patience, transport=transport), seen


async def test_a_change_is_repeated_under_one_key_while_services_are_away() -> None:
    lost = httpx.ReadError("cut")
    headrace, seen = client(iter([200, 503, lost, 429, httpx.Response(201, json=SUBMISSION)]))
    async with headrace:
        await headrace.http.get("/health/live")
        made = await headrace.tasks.submit(
            SESSION, [{"function": "f"}, {"inputs": ["@0"]}], options=Options(priority=5)
        )
    assert (made.id, made.tasks) == (UUID(int=8), 2)
    assert {request.headers["Authorization"] for request in seen} == {"Bearer secret"}
    posts = seen[1:]
    assert len({request.headers["Idempotency-Key"] for request in posts}) == 1
    assert {request.content for request in posts} == {b'{"function":"f"}\n{"inputs":["@0"]}\n'}
    assert posts[0].headers["Content-Type"] == "application/x-ndjson"
    assert json.loads(posts[0].url.params["options"]) == {"priority": 5}


async def test_a_wrong_address_is_an_error_at_once_unless_the_start_is_waited_for() -> None:
    away = httpx.ConnectError("refused")
    headrace, seen = client(iter([away, 200]))
    with pytest.raises(UnreachableError, match="nobody answers at http://headrace: refused"):
        await headrace.http.get("/health/live")
    assert len(seen) == 1
    said: list[str] = []
    headrace, seen = client(iter([away, 503, away, 503, 503, 200]), Patience(at_start=True, report=said.append))
    await headrace.http.get("/health/live")
    assert said == ["waiting: so it is", "back"]


async def test_patience_ends() -> None:
    headrace, _ = client(iter([200, 503]), Patience(0))
    await headrace.http.get("/health/live")
    with pytest.raises(UnavailableError) as raised:
        await headrace.http.get("/health/live")
    assert (raised.value.status, raised.value.repeated) == (503, False)


async def test_what_comes_in_pieces_is_sent_once() -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield b"{}\n"
        yield b"{}\n"

    headrace, seen = client(iter([200, 503]))
    await headrace.http.get("/health/live")
    with pytest.raises(UnavailableError):
        await headrace.tasks.submit(SESSION, lines())
    assert [request.content for request in seen] == [b"", b"{}\n{}\n"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError), (401, ForbiddenError), (403, ForbiddenError), (404, NotFoundError), (409, ConflictError),
        (413, TooLargeError), (429, UnavailableError), (500, UnavailableError), (503, UnavailableError),
    ],
)  # fmt: skip
async def test_errors_have_types_and_say_what_the_server_said(status: int, kind: type[ClientError]) -> None:
    problem = {"detail": "no such thing", "code": "the_code", "field": "session"}
    headrace, _ = client(lambda _: httpx.Response(status, json=problem))
    with pytest.raises(kind, match="no such thing") as raised:
        await headrace.sessions.get(SESSION)
    assert raised.value.problem_details() == {"status": status} | problem
    assert getattr(raised.value, "code", "") == "the_code"
    headrace, _ = client(lambda _: httpx.Response(status, content=b"<html>"))
    with pytest.raises(kind, match=f"the server answered {status}"):
        await headrace.sessions.get(SESSION)


def result(number: int) -> dict[str, Any]:
    times = {"created_at": "2026-03-01T22:10:05Z", "completed_at": None}
    fields = {"name": "", "status": "created", "owner_task": None, "opaque": "", "size": 0}
    return {"id": str(UUID(int=number)), "session": str(SESSION)} | fields | times


async def test_lists_go_on_page_by_page() -> None:
    pages = {"": ([1, 2], "t"), "t": ([3], "")}

    def answer(request: httpx.Request) -> httpx.Response:
        numbers, token = pages[request.url.params.get("token", "")]
        return httpx.Response(200, json={"items": [result(n) for n in numbers], "next": token})

    headrace, seen = client(answer)
    where = [[Condition("size", 5, ">")]]
    found = [one.id async for one in headrace.results.list(SESSION, status="created", where=where)]
    assert found == [UUID(int=n) for n in (1, 2, 3)]
    assert [dict(request.url.params) for request in seen] == [
        {"status": "created", "where": '[[{"field": "size", "value": 5, "op": ">"}]]', "size": "1000"} | more
        for more in ({}, {"token": "t"})
    ]


async def test_results_are_waited_for_in_portions() -> None:
    ids = [uuid4() for _ in range(1500)]

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)["results"]
        states = dict.fromkeys(asked, "completed")
        return httpx.Response(200, json={"done": True, "states": states, "open": []})

    headrace, seen = client(answer)
    assert await headrace.results.wait([*ids, ids[0]]) == dict.fromkeys(ids, "completed")
    assert [len(json.loads(request.content)["results"]) for request in seen] == [1000, 500]


async def test_events_go_on_where_they_were() -> None:
    streams = iter(
        [
            httpx.Response(
                200, content=b": connected\nid: 1-4\n\nevent: a.b\nid: 1-5\ndata: {}\n\nevent: cut off\nid: 1-"
            ),
            httpx.ConnectError("away"),
            httpx.Response(503, json={"detail": "away"}),
            httpx.Response(200, content=b"event: c.d\r\nid: 1-6\r\ndata: {}\r\n\r\n"),
            httpx.Response(403, json={"detail": "no longer"}),
        ]
    )
    headrace, seen = client(streams)
    found: list[tuple[str, str]] = []

    async def read() -> None:
        async for event in headrace.events(session=SESSION, from_start=True):
            found.append((event.id, event.name))  # noqa: PERF401 (kept when the iterator ends with an error)

    with pytest.raises(ForbiddenError, match="no longer"):
        await read()
    assert found == [("1-4", ""), ("1-5", "a.b"), ("1-6", "c.d")]
    assert [request.headers.get("Last-Event-ID") for request in seen] == [None, "1-5", "1-5", "1-5", "1-6"]
    assert [request.url.params.get("from") for request in seen] == ["start", None, None, None, None]
    headrace, seen = client(iter([httpx.Response(403, json={})]))
    with pytest.raises(ForbiddenError):
        await anext(headrace.events(after="1-3"))
    assert seen[0].headers["Last-Event-ID"] == "1-3"


async def test_a_session_is_deleted_though_the_first_reply_was_lost() -> None:
    headrace, _ = client(iter([200, httpx.ReadError("cut"), 404]))
    await headrace.http.get("/health/live")
    await headrace.sessions.delete(SESSION)
    headrace, _ = client(iter([404]))
    with pytest.raises(NotFoundError):
        await headrace.sessions.delete(SESSION)


async def test_patience_begins_with_the_first_failure() -> None:
    """A request that was lost with a killed process is answered by a time-out, after longer than anybody is patient."""
    asked = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(0.06)  # the server takes that long
            return httpx.Response(504, json={"detail": "no answer in time"})
        return httpx.Response(200, json={"asked": asked})

    patience = Patience(0.05, at_start=True, statuses=frozenset({504}))
    async with Headrace(
        Address("http://127.0.0.1:1", "t"), patience=patience, transport=httpx.MockTransport(answer)
    ) as made:
        assert await made.http.get("/x") == {"asked": 2}
