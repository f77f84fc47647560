"""Events leave through a table: after the commit, never without it, again if nobody knows that they arrived."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from shared.contracts.topology import EVENT_WINDOW
from shared.service.outbox import Relay
from tests.support.bus_rig import Bench, Word, open_bench
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture
async def bench(nats: Servers, database: Database) -> AsyncIterator[Bench]:
    async with open_bench(nats, database) as bench:
        yield bench


async def received(bench: Bench) -> list[tuple[str, str]]:
    """The events that the stream holds: id and text."""
    events = await bench.events()
    return [(event.headers["Nats-Msg-Id"], msgspec.json.decode(event.data, type=Word).text) for event in events]


async def say(bench: Bench, *texts: str, fail: bool = False) -> None:
    async with bench.units.begin() as unit:
        for text in texts:
            unit.emit("hr.evt.dataset.said.1", Word(text))
        assert await told_now(bench) == len(await bench.events())
        if fail:
            raise KeyError("as told")


async def told_now(bench: Bench) -> int:
    return (await bench.bus.nc.jetstream().stream_info("EVENTS")).state.messages


async def age(bench: Bench, seconds: float) -> None:
    """Makes the outbox older."""
    await bench.pool.execute("UPDATE outbox SET created_at = created_at - make_interval(secs => $1)", seconds)


async def test_events_are_published_after_the_commit_in_order(bench: Bench) -> None:
    order: list[str] = []

    async def note() -> None:
        order.append(f"{len(await bench.events())} events before the effects")

    async with bench.units.begin() as unit:
        unit.emit("hr.evt.dataset.said.1", Word("first"))
        unit.emit("hr.evt.dataset.said.1", Word("second"))
        unit.after.append(note)
        assert await bench.events() == []
    await wait_until(lambda: received(bench))
    assert await received(bench) == [("archiver:1", "first"), ("archiver:2", "second")]
    assert order == ["0 events before the effects"]


async def test_a_rollback_tells_nothing(bench: Bench) -> None:
    undone: list[str] = []

    async def undo() -> None:
        undone.append("undone")

    async def work() -> None:
        async with bench.units.begin() as unit:
            await unit.connection.execute("INSERT INTO said (text) VALUES ('never')")
            unit.emit("hr.evt.dataset.said.1", Word("never"))
            unit.undone.append(undo)
            raise KeyError("as told")

    with pytest.raises(KeyError):
        await work()
    await say(bench, "marker")
    await wait_until(lambda: received(bench))
    assert [text for _, text in await received(bench)] == ["marker"]
    assert (await bench.said(), undone) == ([], ["undone"])


async def test_what_a_kill_left_behind_is_published_by_the_poll(bench: Bench) -> None:
    async with bench.pool.acquire() as db, db.transaction():  # committed, and then nothing more
        await db.execute("INSERT INTO outbox (subject, body) VALUES ('hr.evt.dataset.said.1', $1)", b'{"text":"left"}')
    assert await bench.relay.run_once() == 0, "a second is left to those who publish by themselves"
    await age(bench, 2)
    assert await bench.relay.run_once() == 1
    await wait_until(lambda: received(bench))
    assert await received(bench) == [("archiver:1", "left")]
    assert await bench.relay.run_once() == 0


INSERT = """WITH work AS (INSERT INTO said (text) VALUES ($1))
INSERT INTO outbox (subject, body, created_at)
VALUES ('hr.evt.dataset.said.1', convert_to('{"text":"' || $1 || '"}', 'UTF8'), now() - interval '1 minute')"""


async def test_an_event_that_commits_after_a_later_one_is_published_though_its_process_died(bench: Bench) -> None:
    async with bench.pool.acquire() as held:
        late = held.transaction()
        await late.start()
        await held.execute(INSERT, "lower")
        await bench.pool.execute(INSERT, "higher")
        for _ in range(3):  # however often the poll looks meanwhile
            await bench.relay.run_once()
        await wait_until(lambda: received(bench))
        assert await received(bench) == [("archiver:2", "higher")]
        await late.commit()  # and whoever did this is gone: it does not publish
    assert await bench.relay.run_once() == 1

    async def both() -> bool:
        return len(await received(bench)) == 2

    await wait_until(both)
    assert await received(bench) == [("archiver:2", "higher"), ("archiver:1", "lower")]

    async def passed() -> bool:  # nobody is at work any more: the watermark goes on
        await bench.relay.run_once()
        return bench.relay.published_up_to == 2

    await wait_until(passed)


async def test_a_younger_row_below_an_older_one_is_not_passed(bench: Bench) -> None:
    """A transaction that began long ago adds its row last: it is due before the row below it."""
    await bench.pool.execute(INSERT.replace("1 minute", "0"), "young")
    await bench.pool.execute(INSERT, "old")
    for _ in range(3):
        await bench.relay.run_once()
    await age(bench, 2)
    await bench.relay.run_once()

    async def both() -> bool:
        return len(await received(bench)) == 2

    await wait_until(both)


async def test_another_process_publishes_it_again_with_the_same_id_and_nobody_sees_it_twice(bench: Bench) -> None:
    await say(bench, "one", "two")
    await wait_until(lambda: received(bench))
    await age(bench, 2)
    assert await Relay(bench.bus, bench.pool, "archiver").run_once() == 2
    await say(bench, "three")

    async def three() -> bool:
        return len(await received(bench)) == 3

    await wait_until(three)
    assert await received(bench) == [("archiver:1", "one"), ("archiver:2", "two"), ("archiver:3", "three")]


async def test_rows_are_kept_as_long_as_the_bus_remembers_then_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await say(bench, "old")
    await wait_until(lambda: received(bench))
    await bench.relay.run_once()
    assert await bench.pool.fetchval("SELECT count(*) FROM outbox") == 1
    assert EVENT_WINDOW == 120
    monkeypatch.setattr("shared.service.outbox.EVENT_WINDOW", 0)

    async def forgotten() -> bool:
        await bench.relay.run_once()
        return bool(await bench.pool.fetchval("SELECT count(*) = 0 FROM outbox"))

    await wait_until(forgotten)
    assert len(await received(bench)) == 1


async def test_when_the_stream_was_lost_all_are_published_again_with_their_ids(bench: Bench, nats: Servers) -> None:
    await say(bench, *(f"event {n}" for n in range(5)))

    async def all_there() -> bool:
        return len(await received(bench)) == 5

    await wait_until(all_there)
    before = await received(bench)
    await age(bench, 2)
    await bench.relay.run_once()
    await nats.forget("EVENTS")
    await bench.bus.prepare()  # what a reconnect does first
    assert await told_now(bench) == 0
    assert await bench.relay.run_once() == 5
    await wait_until(all_there)
    assert await received(bench) == before
