"""The continuous pull: backpressure, redelivery, and a consumer that is lost and made again."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from services.gateway.events.feed import Feed
from shared.bus import pull as pull_module
from shared.bus import topology
from shared.bus.client import Bus
from shared.bus.pull import Pull, delivery
from shared.contracts.topology import REPORTS
from tests.support.bus_rig import connected
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest.fixture
async def bus(nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "scheduler") as bus:
        yield bus


@pytest.fixture
async def source(bus: Bus, nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "worker", topology=False) as worker:
        yield worker


async def pulling(bus: Bus, batch: int = 16) -> Pull:
    pull = Pull(bus, "REPORTS", "schedulers", batch=batch, heartbeat=0.2, rank=lambda: 0)
    await pull.start()
    return pull


async def some(pull: Pull, count: int) -> list[bytes]:
    """Takes and acknowledges until so many have come."""
    got: list[bytes] = []
    async with asyncio.timeout(20):
        while len(got) < count:
            for message in await pull.take():
                got.append(message.data)
                await pull.ack(message)
    return got


async def send(source: Bus, *data: bytes) -> None:
    for each in data:
        await source.publish("hr.report.default", each)


async def pending(bus: Bus) -> tuple[int, int]:
    info = await topology.api(bus, "CONSUMER.INFO.REPORTS.schedulers")
    return info["num_pending"], info["num_ack_pending"]


async def nothing_pending(bus: Bus) -> bool:
    return await pending(bus) == (0, 0)


async def test_everything_arrives_once_in_order_whatever_the_batch(bus: Bus, source: Bus) -> None:
    pull = await pulling(bus, batch=7)
    futures = [await source.send("hr.report.default", b"%d" % n) for n in range(500)]
    await asyncio.gather(*futures)
    assert await some(pull, 500) == [b"%d" % n for n in range(500)]

    await wait_until(lambda: nothing_pending(bus))
    assert source.unacknowledged == 0
    await pull.stop()
    assert await pull.take() == []


async def test_no_more_than_a_batch_lies_here_untaken(bus: Bus, source: Bus) -> None:
    await send(source, *(b"%d" % n for n in range(50)))
    pull = await pulling(bus, batch=8)

    async def full() -> bool:
        return await pending(bus) == (42, 8)

    await wait_until(full)
    assert len(await pull.take(3)) == 3
    await pull.stop()


async def test_what_is_refused_comes_again_and_counts(bus: Bus, source: Bus) -> None:
    pull = await pulling(bus)
    await send(source, b"again", b"never")
    first = await pull.take(1)
    assert (delivery(first[0])[0], first[0].data) == (1, b"again")
    await pull.nak(first[0])
    (other,) = await pull.take(1)
    await pull.term(other)
    (second,) = await pull.take(1)
    assert (delivery(second)[0], second.data) == (2, b"again")
    assert delivery(second)[1] == delivery(first[0])[1]
    await pull.nak(second, 0.05)
    (third,) = await pull.take(1)
    assert delivery(third)[0] == 3
    await pull.ack(third)

    await wait_until(lambda: nothing_pending(bus))
    await pull.stop()


async def test_a_pull_that_stops_gives_back_what_nobody_took(bus: Bus, source: Bus) -> None:
    pull = await pulling(bus)
    await send(source, b"a", b"b", b"c")
    await wait_until(lambda: pull.buffered == 3)
    await pull.take(1)
    await pull.stop()
    other = await pulling(bus)
    assert sorted(await some(other, 2)) == [b"b", b"c"]
    await other.stop()


async def test_what_lies_here_untaken_is_given_back_and_no_more_is_asked_for(bus: Bus, source: Bus) -> None:
    pull = Pull(bus, "REPORTS", "schedulers", batch=2, heartbeat=0.1, return_after=0.05, rank=lambda: 0)
    await pull.start()
    await send(source, b"a", b"b")
    await wait_until(lambda: pull.paused)
    other = await pulling(bus)
    assert sorted(await some(other, 2)) == [b"a", b"b"]
    await other.stop()
    await send(source, b"c")
    assert [message.data for message in await pull.take()] == [b"c"]  # it asks again as soon as somebody takes
    await pull.stop()


async def test_what_is_kept_stays_ours_for_as_long_as_we_live(bus: Bus, source: Bus, nats: Servers) -> None:
    clock, patience = asyncio.get_running_loop().time, 1.0
    async with connected(nats, "scheduler") as short_lived:
        await topology.ensure_consumer(bus, "REPORTS", msgspec.structs.replace(REPORTS.consumers[0], ack_wait=patience))
        pull = Pull(short_lived, "REPORTS", "schedulers", batch=8, heartbeat=0.1, renew=True, rank=lambda: 0)
        await pull.start()
        await send(source, b"taken", b"answered", b"untaken")
        await wait_until(lambda: pull.buffered == 3)
        everything = set(pull.renewed)
        taken, answered = await pull.take(2)
        await pull.ack(answered)
        other = await pulling(bus)
        until = clock() + 3 * patience
        await wait_until(lambda: clock() > until)
        assert not other.buffered
        assert set(pull.renewed) == everything - {answered.reply}
        assert taken.reply in pull.renewed
    assert sorted(await some(other, 2)) == [b"taken", b"untaken"]
    await other.stop()


async def test_it_goes_on_when_its_consumer_is_lost_and_made_again(bus: Bus, source: Bus, nats: Servers) -> None:
    pull = await pulling(bus)
    await send(source, b"before")
    assert await some(pull, 1) == [b"before"]
    await wait_until(lambda: nothing_pending(bus))
    await nats.forget("REPORTS", "schedulers")
    await send(source, b"meanwhile")
    await topology.ensure_consumer(bus, "REPORTS", REPORTS.consumers[0])
    assert await some(pull, 1) == [b"meanwhile"]
    await pull.stop()


async def test_it_goes_on_when_its_stream_is_lost_and_made_again(bus: Bus, source: Bus, nats: Servers) -> None:
    pull = await pulling(bus)
    await send(source, b"before")
    assert await some(pull, 1) == [b"before"]
    await nats.forget("REPORTS")
    sent = await source.send("hr.report.default", b"meanwhile")  # no stream takes it: it is sent again until one does
    await bus.prepare()
    assert await some(pull, 1) == [b"meanwhile"]
    assert (await sent).stream == "REPORTS"
    await pull.stop()


async def test_the_ack_of_the_newest_waits_for_the_next_message(
    bus: Bus, source: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_module, "LINGER", 30.0)
    pull = await pulling(bus)
    await send(source, b"1")
    assert await some(pull, 1) == [b"1"]
    await asyncio.sleep(0.2)
    assert await pending(bus) == (0, 1)  # the stream is not empty between two hops
    await send(source, b"2")
    assert await some(pull, 1) == [b"2"]
    await wait_until(lambda: acknowledged(bus, 1))
    await pull.stop()
    await wait_until(lambda: nothing_pending(bus))


async def test_the_ack_of_the_newest_goes_out_when_nothing_follows(bus: Bus, source: Bus) -> None:
    pull = await pulling(bus)
    await send(source, b"1")
    assert await some(pull, 1) == [b"1"]
    await wait_until(lambda: nothing_pending(bus))
    await pull.stop()


async def acknowledged(bus: Bus, sequence: int) -> bool:
    info = await topology.api(bus, "CONSUMER.INFO.REPORTS.schedulers")
    return bool(info["ack_floor"]["stream_seq"] == sequence)


async def test_a_backlog_of_large_messages_comes_a_few_at_a_time(bus: Bus, source: Bus) -> None:
    """64 messages of a megabyte pulled at once threw the scheduler off the bus as a slow consumer."""
    large = [b"%02d" % number + b"x" * 1_000_000 for number in range(24)]
    stored = [await source.send("hr.report.default", data) for data in large]
    await asyncio.wait_for(asyncio.gather(*stored), 30)
    pull = Pull(bus, "REPORTS", "schedulers", batch=1000, heartbeat=0.2, rank=lambda: 0)
    await pull.start()
    got: list[bytes] = []
    # Nobody takes: no more than the bytes of a few requests lie here.
    await wait_until(lambda: pull.buffered_bytes > pull_module.MOST_BYTES and not pull.requested)
    assert pull.buffered_bytes <= 3 * pull_module.MOST_BYTES
    async with asyncio.timeout(30):
        while len(got) < len(large):
            for message in await pull.take(1):
                got.append(message.data)
                await pull.ack(message)
            assert pull.buffered_bytes <= 3 * pull_module.MOST_BYTES
    assert sorted(got) == large
    assert bus.nc.stats["reconnects"] == 0
    assert await some_small(pull, source), "and small ones come as before"
    await pull.stop()


async def test_a_batch_that_is_complete_is_no_refusal(bus: Bus, source: Bus) -> None:
    """Asked for bytes too, the server says 409 at the end of each batch: taken for a refusal, it cost a pause each time."""
    pull = await pulling(bus, batch=8)
    restarts = pull.restarts
    for _ in range(4):
        await send(source, *(b"%d" % number for number in range(8)))
        assert len(await some(pull, 8)) == 8
    assert pull.restarts == restarts
    await pull.stop()


async def some_small(pull: Pull, source: Bus) -> bool:
    await send(source, b"small")
    return await some(pull, 1) == [b"small"]


async def test_a_reader_of_events_takes_large_ones_a_few_at_a_time(bus: Bus, nats: Servers) -> None:
    for unreadable in (b"", b"{", b"\xff", b'"\xff"', b"[" * 1_000_000):
        await bus.publish("hr.evt.task.logged.1", unreadable)
    events = [await bus.send("hr.evt.task.logged.1", b'["%02d' % n + b"x" * 1_000_000 + b'"]') for n in range(20)]
    await asyncio.wait_for(asyncio.gather(*events), 30)
    async with connected(nats, "gateway") as gateway:
        feed = Feed(gateway, "hr.evt.>", from_start=True)
        await feed.open()
        await wait_until(lambda: len(feed.untaken) > 3 and not feed.requested)
        assert sum(len(event.data) for event in feed.untaken) <= 3 * pull_module.MOST_BYTES
        got: list[bytes] = []
        async with asyncio.timeout(30):
            while len(got) < len(events):
                got += [event.data[2:4] for event in await feed.take(5)]
        assert got == [b"%02d" % n for n in range(20)]
        await feed.close()
