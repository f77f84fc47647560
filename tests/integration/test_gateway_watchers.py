"""Watching over NATS, asked by a user with a plain client: the same as over SSE, one question after the other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest
from nats.aio.client import Client

from services.gateway.events.watch_endpoint import PLACES_OF_ONE
from shared.bus import topology
from shared.contracts import compute as c
from shared.contracts import subjects
from shared.contracts.errors import ErrorBody
from shared.contracts.events import CommandDone, CommandRejected, Frame, TaskLogged
from tests.support.buckets import new_bucket
from tests.support.compute_rig import forget_streams, new_database
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until
from tests.support.watches import ask, whole


@pytest.fixture(scope="module")
async def started(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """One gateway for all tests here."""
    await forget_streams(servers)
    async with (
        new_database(servers) as database,
        new_bucket(servers) as s3,
        running(servers, database, s3, tmp_path_factory.mktemp("gateway")) as gateway,
    ):
        yield gateway


@pytest.fixture
def gateway(started: Gateway) -> Gateway:
    started.scheduler.states.clear()
    started.scheduler.holding.clear()
    return started


@pytest.fixture
async def alice(gateway: Gateway) -> AsyncIterator[Client]:
    client = await gateway.servers.connect("alice")
    yield client
    await client.close()


def names(received: Any) -> list[str]:
    return [event["event"] for event in received["events"]]


def completed(received: Any) -> list[int]:
    return [
        UUID(t).int for e in received["events"] if e["event"] == "task.changed" for t in e["data"].get("completed", [])
    ]


async def tell(gateway: Gateway, session: UUID, *numbers: int) -> None:
    subject = subjects.event("task", "changed", session)
    for number in numbers:
        await gateway.scheduler.bus.publish(subject, Frame(session, completed=[UUID(int=number)]))


WHOLE = ["snapshot.begin", "snapshot.states", "snapshot.states", "snapshot.end"]


def pages(gateway: Gateway, session: UUID) -> None:
    gateway.scheduler.states = {
        "": c.States(session, {"pending": [UUID(int=1), UUID(int=2)]}, {}, "t17"),
        "t17": c.States(session, {"completed": [UUID(int=3)]}),
    }


async def test_what_is_then_what_happens_then_what_came_meanwhile(gateway: Gateway, alice: Client) -> None:
    session = gateway.scheduler.session("alice").id
    pages(gateway, session)
    first = await ask(alice, "session", session=session)
    assert names(first) == WHOLE[:2]
    await tell(gateway, session, 1)  # between two pages
    second = await ask(alice, "session", session=session, place=first["place"])
    assert names(second) == WHOLE[2:]
    assert second["events"][0]["data"] == {"session": str(session), "tasks": {"completed": [str(UUID(int=3))]}}
    third = await ask(alice, "session", session=session, place=second["place"])
    assert completed(third) == [1]
    waiting = asyncio.create_task(ask(alice, "session", session=session, place=third["place"]))
    await tell(gateway, session, 2)
    fourth = await waiting
    assert completed(fourth) == [2]
    await tell(gateway, session, *range(10, 50))
    place, found = fourth["place"], list[int]()
    while len(found) < 40:
        received = await ask(alice, "session", session=session, place=place)
        found += completed(received)
        place = received["place"]
    assert found == list(range(10, 50))
    nothing = await ask(alice, "session", session=session, place=place, wait=0)
    assert nothing["events"] == []


async def test_a_place_moves_on_past_what_is_not_wanted(gateway: Gateway, alice: Client) -> None:
    session, other = gateway.scheduler.session("alice").id, gateway.scheduler.session("alice").id
    wanted = {"session": session, "tasks": [UUID(int=2)]}
    place = (await whole(alice, **wanted))["place"]
    await tell(gateway, other, 1)
    await tell(gateway, session, 1)
    await tell(gateway, other, 1)
    ends = (await ask(alice, "commands"))["place"]
    moved = await ask(alice, "session", **wanted, place=place, wait=0.3)
    assert moved["events"] == []
    assert moved["place"] != place
    again = await ask(alice, "session", **wanted, place=moved["place"], wait=0)
    assert again["place"] == ends, "also past what is another's"
    await tell(gateway, session, 2, 3)
    assert completed(await ask(alice, "session", **wanted, place=place)) == [2]
    assert names(await ask(alice, "session", session=session, place=place, events=["session"], wait=0.2)) == []


async def test_a_stream_that_was_lost_means_a_new_snapshot(gateway: Gateway, alice: Client) -> None:
    session = gateway.scheduler.session("alice").id
    pages(gateway, session)
    place = (await whole(alice, session=session))["place"]
    asked = len(gateway.scheduler.asked("session.get"))
    waiting = asyncio.create_task(ask(alice, "session", session=session, place=place))
    await wait_until(lambda: len(gateway.scheduler.asked("session.get")) > asked)
    await gateway.servers.forget("EVENTS")
    await topology.apply(gateway.scheduler.bus)
    await tell(gateway, session, 1)
    received = await waiting
    if not received["events"]:  # the question ended first: the next one is told
        received = await ask(alice, "session", session=session, place=received["place"])
    assert names(received) == WHOLE[:2]
    received = await ask(alice, "session", session=session, place=received["place"])
    assert names(received) == WHOLE[2:]
    for lost in (place, f"{place}~t17"):
        assert names(await ask(alice, "session", session=session, place=lost)) == WHOLE[:2]
    await tell(gateway, session, 2)
    assert completed(await ask(alice, "session", session=session, place=received["place"]))[-1] == 2


async def test_what_is_refused(gateway: Gateway, alice: Client) -> None:
    theirs, mine = gateway.scheduler.session("bob").id, gateway.scheduler.session("alice").id
    assert await ask(alice, "session", session=theirs) == ("not_found", "session")
    assert await ask(alice, "session", session="x") == ("invalid_argument", "session")
    assert await ask(alice, "session") == ("invalid_argument", "session")
    assert await ask(alice, "session", session=mine, place="here") == ("invalid_argument", "place")
    assert await ask(alice, "session", session=mine, wait=31) == ("invalid_argument", "wait")
    assert await ask(alice, "session", session=mine, events=["*"]) == ("invalid_argument", "events[0]")
    assert await ask(alice, "commands", session=mine) == ("invalid_argument", "session")
    assert await ask(alice, "others") == ("invalid_argument", "subject")
    answer = await alice.request(subjects.watch("alice", "session"), b"\xff{", timeout=5)
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "400"


async def test_one_user_waits_in_so_many_places_and_no_more(gateway: Gateway, alice: Client) -> None:
    mine = gateway.scheduler.session("alice").id
    place = (await whole(alice, session=mine))["place"]
    asked = len(gateway.scheduler.asked("session.get"))
    waiting = [asyncio.create_task(ask(alice, "session", session=mine, place=place)) for _ in range(PLACES_OF_ONE)]
    await wait_until(lambda: len(gateway.scheduler.asked("session.get")) == asked + PLACES_OF_ONE)
    assert (await ask(alice, "commands"))[0] == "resource_exhausted"
    await tell(gateway, mine, 1)
    assert [completed(await each) for each in waiting] == [[1]] * PLACES_OF_ONE


async def test_ones_own_outcomes_and_no_others(gateway: Gateway, alice: Client) -> None:
    bus = gateway.scheduler.bus

    async def outcome(user: str, sequence: int, error: ErrorBody | None = None) -> None:
        subject = subjects.command(user, "scheduler", "session", "close")
        received: Any = CommandDone(subject, msgspec.Raw(b"{}")) if error is None else CommandRejected(subject, error)
        await bus.publish(subjects.event("command", "rejected" if error else "done", sequence), received)

    await outcome("alice", 1)
    began = await ask(alice, "commands")
    assert began["events"] == [], "told at once where the events end"
    waiting = asyncio.create_task(ask(alice, "commands", place=began["place"]))
    await outcome("alice2", 2)
    await outcome("bob", 3)
    await outcome("alice", 4, ErrorBody("not_found", "no", "session", ""))
    received = await waiting
    assert [(e["event"], e["id"]) for e in received["events"]] == [("command.rejected", "4")]
    assert received["events"][0]["data"]["error"]["code"] == "not_found"
    await outcome("bob", 5)
    nothing = await ask(alice, "commands", place=received["place"], wait=0.2)
    assert nothing["events"] == []
    await outcome("alice", 6)
    assert [e["id"] for e in (await ask(alice, "commands", place=nothing["place"]))["events"]] == ["6"]
    await gateway.servers.forget("EVENTS")
    await topology.apply(bus)
    await outcome("alice", 7)
    lost = await ask(alice, "commands", place=nothing["place"])
    assert (lost["lost"], [e["id"] for e in lost["events"]]) == (True, ["7"])


async def test_an_answer_fits_into_a_message(gateway: Gateway, alice: Client) -> None:
    session = gateway.scheduler.session("alice").id
    place = (await whole(alice, session=session))["place"]
    text = "x" * 300_000
    for n in range(5):
        await gateway.scheduler.bus.publish(
            subjects.event("task", "logged", session), TaskLogged(session, UUID(int=1), 0, n, text)
        )
    starts: list[int] = []
    while len(starts) < 5:
        received = await ask(alice, "session", session=session, place=place)
        starts += [event["data"]["start"] for event in received["events"]]
        place = received["place"]
    assert starts == list(range(5))
