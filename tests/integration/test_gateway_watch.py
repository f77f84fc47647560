"""A watch over SSE: first what is, then what happens, with nothing missed between; it goes on where it was."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.events.feed import BATCH, Feed
from shared.bus import topology
from shared.contracts import compute as c
from shared.contracts import subjects
from shared.contracts.events import SessionChanged, TaskLogged
from tests.support.buckets import new_bucket
from tests.support.bus_rig import connected
from tests.support.compute_rig import forget_streams, new_database
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until
from tests.support.watches import tell, watching


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


def pages(gateway: Gateway, session: UUID) -> None:
    """Two pages of tasks and results."""
    ids = [UUID(int=n) for n in range(8)]
    gateway.scheduler.states = {
        "": c.States(session, {"completed": ids[:2], "pending": ids[2:4]}, {}, "t17"),
        "t17": c.States(session, {"error": ids[4:6]}, {"completed": [UUID(int=1000)]}),
    }


WHOLE = ["snapshot.begin", "snapshot.states", "snapshot.states", "snapshot.end"]


async def test_what_is_then_what_happens(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    pages(gateway, session)
    await tell(gateway, session, 90)
    async with watching(gateway.http, session) as watcher:
        await wait_until(lambda: watcher.names == WHOLE, on_timeout=lambda: watcher.received)
        begin, first, second, _ = (data for _, data in watcher.received)
        assert (begin["id"], begin["status"]) == (str(session), "running")
        assert first == {
            "session": str(session),
            "tasks": {
                "completed": [str(UUID(int=0)), str(UUID(int=1))],
                "pending": [str(UUID(int=2)), str(UUID(int=3))],
            },
        }
        assert set(second["tasks"]) == {"error"}
        await tell(gateway, session, 1, 2)
        await wait_until(lambda: watcher.completed() == [1, 2], on_timeout=lambda: watcher.received)


async def test_what_happens_while_the_snapshot_is_read_comes_after_it(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    pages(gateway, session)
    held = gateway.scheduler.holding["session.states"] = asyncio.Event()
    before = len(gateway.scheduler.asked("session.states"))  # by other tests
    async with watching(gateway.http, session) as watcher:
        await wait_until(lambda: len(gateway.scheduler.asked("session.states")) > before)
        await tell(gateway, session, *range(10, 310))
        held.set()
        await wait_until(lambda: len(watcher.completed()) == 300, on_timeout=lambda: watcher.names)
        assert watcher.names[:4] == WHOLE
        assert watcher.completed() == list(range(10, 310))


async def test_who_comes_back_gets_only_what_came_after(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    pages(gateway, session)
    async with watching(gateway.http, session) as first:
        await wait_until(lambda: first.names == WHOLE)
    await tell(gateway, session, 1, 2)
    asked = len(gateway.scheduler.asked("session.states"))
    async with watching(gateway.http, session, first.id) as second:
        await wait_until(lambda: second.completed() == [1, 2], on_timeout=lambda: second.received)
        assert set(second.names) == {"task.changed"}
    await tell(gateway, session, 3)
    async with watching(gateway.http, session, last_event_id=second.id) as third:
        await wait_until(lambda: third.completed() == [3], on_timeout=lambda: third.received)
    assert len(gateway.scheduler.asked("session.states")) == asked


async def test_a_snapshot_that_was_broken_off_goes_on(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    pages(gateway, session)
    async with watching(gateway.http, session) as first:
        await wait_until(lambda: first.names == WHOLE)
        assert "~" not in first.id
    began = f"{first.id}~t17"
    await tell(gateway, session, 1)
    async with watching(gateway.http, session, began) as second:
        await wait_until(lambda: second.completed() == [1], on_timeout=lambda: second.received)
        assert second.names == ["snapshot.states", "snapshot.end", "task.changed"]


async def test_a_stream_that_was_lost_means_a_new_snapshot(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    pages(gateway, session)
    async with watching(gateway.http, session) as watcher:
        await wait_until(
            lambda: watcher.names == WHOLE, on_timeout=lambda: watcher.received
        )  # it hears what comes from now on
        await tell(gateway, session, 1)
        await wait_until(lambda: watcher.completed() == [1], on_timeout=lambda: watcher.received)
        before = watcher.id
        await gateway.servers.forget("EVENTS")
        await topology.apply(gateway.scheduler.bus)
        await wait_until(lambda: watcher.names.count("snapshot.end") == 2, on_timeout=lambda: watcher.received)
        assert watcher.names == [*WHOLE, "task.changed", *WHOLE]
        await tell(gateway, session, 2)
        await wait_until(lambda: watcher.completed() == [1, 2], on_timeout=lambda: watcher.received)
        assert watcher.id.partition("-")[0] != before.partition("-")[0]
    for last in (before, f"{before}~t17"):
        async with watching(gateway.http, session, last) as again:
            await wait_until(lambda: again.names == WHOLE, on_timeout=lambda: again.received)


async def test_what_the_stream_has_dropped_means_a_new_snapshot(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    async with watching(gateway.http, session) as first:
        await wait_until(lambda: "snapshot.end" in first.names)
    await tell(gateway, session, 1, 2)
    assert await gateway.servers.purge("EVENTS", "hr.evt.>") >= 2
    async with watching(gateway.http, session, first.id) as second:
        await wait_until(lambda: "snapshot.end" in second.names, on_timeout=lambda: second.received)


async def test_a_late_reader_notices_that_the_stream_was_full(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.events.feed.LATE", -1)  # every event counts as late
    session, other = gateway.scheduler.session().id, gateway.scheduler.session().id
    async with connected(gateway.servers, "gateway", topology=False) as bus:
        feed = Feed(bus, f"hr.evt.*.*.{session}")
        await feed.open()
        try:
            await tell(gateway, session, 1)
            await tell(gateway, other, 2)
            await tell(gateway, session, 3)
            await wait_until(lambda: len(feed.untaken) == 2)
            assert len(await feed.take(1)) == 2
            assert await feed.joins(), "what lay between was another's"
            await tell(gateway, other, 4)
            await tell(gateway, session, 5)
            await wait_until(lambda: len(feed.untaken) == 1)
            await gateway.servers.purge("EVENTS", "hr.evt.>")
            await feed.take(1)
            assert not await feed.joins()
        finally:
            await feed.close()


async def test_a_slow_client_is_not_waited_for_in_memory(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    feeds: list[Feed] = []
    opened = Feed.open

    async def noting(self: Feed) -> Any:
        feeds.append(self)
        return await opened(self)

    monkeypatch.setattr(Feed, "open", noting)
    session = gateway.scheduler.session().id
    url = f"/compute/v1/sessions/{session}/watch"
    async with gateway.http.stream("GET", url) as response:
        lines = response.aiter_lines()
        async for line in lines:
            if line == "event: snapshot.end":
                break
        piece = "x" * 60_000
        sent = [
            await gateway.scheduler.bus.send(
                subjects.event("task", "logged", session), TaskLogged(session, UUID(int=1), 0, n, piece)
            )
            for n in range(1000)
        ]
        await asyncio.gather(*sent)
        (feed,) = feeds
        await wait_until(lambda: len(feed.untaken) > BATCH // 2)
        seen, starts = len(feed.untaken), []
        assert seen <= BATCH
        async for line in lines:  # it was slow, and now reads everything
            if line.startswith("data: ") and "start" in line:
                starts.append(msgspec.json.decode(line[6:])["start"])
                assert len(feed.untaken) <= BATCH
                if len(starts) == 1000:
                    break
        assert starts == list(range(1000))


async def test_another_users_session_does_not_exist(gateway: Gateway) -> None:
    theirs = gateway.scheduler.session("admin").id
    mine = gateway.scheduler.session("ada").id
    async with await gateway.user("ada") as ada:
        refused = await ada.get(f"/compute/v1/sessions/{theirs}/watch")
        assert (refused.status_code, refused.json()["field"]) == (404, "session")
        async with watching(ada, mine) as watcher:
            await wait_until(lambda: "snapshot.end" in watcher.names)
    async with gateway.client(None) as nobody:
        assert (await nobody.get(f"/compute/v1/sessions/{mine}/watch")).status_code == 401


async def test_only_what_is_wanted(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    pages(gateway, session)
    ids = f"{UUID(int=2)},{UUID(int=5)}"
    async with (
        watching(gateway.http, session, tasks=ids) as tasks,
        watching(gateway.http, session, results=str(UUID(int=1005))) as results,
        watching(gateway.http, session, events="session") as only,
    ):
        for each in (tasks, results, only):
            await wait_until(lambda each=each: "snapshot.end" in each.names)  # type: ignore[misc]
        assert tasks.received[1][1]["tasks"] == {"completed": [], "pending": [str(UUID(int=2))]}
        await tell(gateway, session, 1, 2, 3, 5)
        text = TaskLogged(session, UUID(int=1), 0, 0, "not of these")
        await gateway.scheduler.bus.publish(subjects.event("task", "logged", session), text)
        text = TaskLogged(session, UUID(int=2), 0, 0, "of these")
        await gateway.scheduler.bus.publish(subjects.event("task", "logged", session), text)
        closed = SessionChanged(session, "closed", 2)
        await gateway.scheduler.bus.publish(subjects.event("session", "closed", session), closed)
        for each in (tasks, results, only):
            await wait_until(
                lambda each=each: each.names[-1] == "session.closed", on_timeout=lambda each=each: each.received
            )  # type: ignore[misc]
        assert tasks.completed() == [2, 5]
        assert all("results" not in data for event, data in tasks.received if event == "task.changed")
        assert [data["text"] for event, data in tasks.received if event == "task.logged"] == ["of these"]
        assert [data["results"] for event, data in results.received if event == "task.changed"] == [
            [str(UUID(int=1005))]
        ]
        assert only.names == [*WHOLE, "session.closed"]
        assert tasks.id == results.id == only.id, "a place moves on past what is not wanted"
    for query, field in (
        ({"tasks": "x"}, "tasks[0]"), ({"events": "task.*"}, "events[0]"), ({"last_event_id": "1"}, "Last-Event-ID"),
    ):  # fmt: skip
        refused = await gateway.http.get(f"/compute/v1/sessions/{session}/watch", params=query)
        assert (refused.status_code, refused.json()["field"]) == (400, field), refused.text
