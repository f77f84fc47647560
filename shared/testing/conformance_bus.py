"""What a bus has to do for Headrace: the suite that the fake and NATS both pass.

class TestMemory(BusConformance): …   # with fixtures `bus` (topology applied) and `other` (another connection)
"""

import asyncio

import msgspec
import pytest

from shared.bus import topology
from shared.bus.client import Bus
from shared.bus.pull import Pull, delivery
from shared.contracts.endpoint import Query
from shared.contracts.errors import NotFound, TimedOut, Unavailable
from shared.contracts.ids import uuid7
from shared.contracts.topology import REPORTS, TASKS, worker_consumer
from shared.contracts.work import Beat, BeatReply, Failed, ReportBatch
from shared.service import dead
from shared.service.context import Context
from shared.service.middleware.identity import headers_of
from shared.service.middleware.poison import bury
from shared.service.service import Service


class Word(msgspec.Struct, frozen=True):
    text: str


WORD_ECHO = Query("scheduler", "word", "echo", Word, Word, None, "Repeats a word.")


async def echo(ctx: Context, word: Word) -> Word:
    if word.text == "unknown":
        raise NotFound("no such word", field="text")
    return Word(f"{word.text} for {ctx.user}" if ctx.user else word.text)


async def flushed(bus: Bus) -> None:
    """What was subscribed is known to the server. Twice: nats-py's ping may overtake what waits to be written."""
    await bus.nc.flush()
    await bus.nc.flush()


async def reports(bus: Bus, rank: int = 0) -> Pull:
    pull = Pull(bus, REPORTS.name, "schedulers", batch=8, rank=lambda: rank)
    await pull.start()
    return pull


async def taken(pull: Pull, count: int) -> list[bytes]:
    """Takes and acknowledges so many."""
    got: list[bytes] = []
    async with asyncio.timeout(20):
        while len(got) < count:
            for message in await pull.take():
                got.append(message.data)
                await pull.ack(message)
    return got


class BusConformance:
    """Override the fixtures `bus` and `other`."""

    # -- request-reply

    async def test_endpoints_answer_typed_requests_with_their_errors(self, bus: Bus, other: Bus) -> None:
        service = Service(bus, None, "scheduler", "1.0.0", "")
        service.on(WORD_ECHO, echo)
        await service.start()
        await flushed(bus)
        subject = "hr.rpc.scheduler.word.echo"
        headers = headers_of(Context("ann"), other.delegations, subject)
        assert await other.request(subject, Word("hi"), Word, headers=headers) == Word("hi for ann")
        with pytest.raises(NotFound) as raised:
            await other.request(subject, Word("unknown"), Word)
        assert raised.value.field == "text"
        info = msgspec.json.decode((await other.ask("$SRV.INFO.scheduler", b"")).data)
        assert [endpoint["subject"] for endpoint in info["endpoints"]] == [subject]
        stats = msgspec.json.decode((await other.ask("$SRV.STATS.scheduler", b"")).data)
        assert (stats["endpoints"][0]["num_requests"], stats["endpoints"][0]["num_errors"]) == (2, 1)
        await service.stop()
        await flushed(bus)
        with pytest.raises(Unavailable):
            await other.request(subject, Word("late"), Word)

    async def test_nobody_is_unavailable_and_silence_is_timed_out(self, bus: Bus, other: Bus) -> None:
        with pytest.raises(Unavailable, match="nobody"):
            await other.request("hr.rpc.scheduler.nobody.there", Word(""), Word)

        async def silent(message: object) -> None: ...

        await bus.nc.subscribe("hr.rpc.scheduler.silent.one", cb=silent)
        await flushed(bus)
        with pytest.raises(TimedOut):
            await other.request("hr.rpc.scheduler.silent.one", Word(""), Word, timeout=0.05)

    async def test_a_queue_group_shares_and_others_all_hear(self, bus: Bus, other: Bus) -> None:
        seen: list[str] = []

        async def one(message: object) -> None:
            seen.append("one")

        async def answer(message: object) -> None:
            seen.append("group")
            await bus.publish_core(message.reply, BeatReply([], 1.0))  # type: ignore[attr-defined]

        for _ in range(2):
            await bus.nc.subscribe("hr.beat.worker.*", queue="scheduler", cb=answer)
        await bus.nc.subscribe("hr.beat.worker.w1", cb=one)
        await flushed(bus)
        reply = await other.request("hr.beat.worker.w1", Beat("w1", "default", 1, [], []), BeatReply)
        assert reply == BeatReply([], 1.0)
        await flushed(bus)
        assert seen.count("group") == 1
        await bus.publish_core("hr.beat.worker.nobody-else.listens", b"{}")

    # -- streams

    async def test_a_publish_is_acknowledged_in_order_and_an_id_counts_once(self, bus: Bus, other: Bus) -> None:
        first = await bus.publish("hr.evt.task.changed.1", Word("a"), headers={"Nats-Msg-Id": "id-1"})
        again = await bus.publish("hr.evt.task.changed.1", Word("a"), headers={"Nats-Msg-Id": "id-1"})
        second = await bus.publish("hr.evt.task.changed.1", Word("b"))
        assert (first.stream, again.duplicate, again.seq) == ("EVENTS", True, first.seq)
        assert (second.seq, second.duplicate) == (first.seq + 1, False)

    async def test_a_work_queue_gives_each_message_once_until_acknowledged(self, bus: Bus, other: Bus) -> None:
        pulls = [await reports(bus), await reports(bus)]
        sent = [msgspec.json.encode(ReportBatch("w", [Failed(uuid7(), 0, "error", str(n))])) for n in range(60)]
        for data in sent:
            await other.send("hr.report.default", data)
        got: list[bytes] = []
        all_there = asyncio.Event()

        async def drain(pull: Pull) -> None:
            while messages := await pull.take():
                for message in messages:
                    got.append(message.data)
                    await pull.ack(message)
                if len(got) >= len(sent):
                    all_there.set()

        draining = [asyncio.create_task(drain(pull)) for pull in pulls]
        async with asyncio.timeout(20):
            await all_there.wait()
        for pull in pulls:
            await pull.stop()
        await asyncio.gather(*draining)
        assert sorted(got) == sorted(sent)

    async def test_the_lowest_rank_is_served_first_and_the_others_when_it_has_enough(
        self, bus: Bus, other: Bus
    ) -> None:
        second = await reports(bus, rank=1)
        await flushed(bus)
        first = await reports(bus, rank=0)
        await flushed(bus)
        for n in range(10):
            await other.publish("hr.report.default", b"%d" % n)
        got = await taken(first, 4)
        assert got[:4] == [b"0", b"1", b"2", b"3"]
        await first.stop()
        got += await taken(second, 10 - len(got))
        assert sorted(got) == [b"%d" % n for n in range(10)]
        await second.stop()

    async def test_what_is_refused_comes_again_with_its_subject_and_headers(self, bus: Bus, other: Bus) -> None:
        pull = await reports(bus)
        await other.publish("hr.report.gpu", b"x", headers={"traceparent": "00-t"})
        (first,) = await pull.take()
        assert (first.subject, first.headers["traceparent"], delivery(first)[0]) == ("hr.report.gpu", "00-t", 1)
        await pull.nak(first)
        (second,) = await pull.take()
        await pull.nak(second, 0.01)
        (third,) = await pull.take()
        assert [delivery(message)[0] for message in (second, third)] == [2, 3]
        assert delivery(third)[1] == delivery(first)[1]
        await pull.term(third)
        await other.publish("hr.report.gpu", b"next")
        assert await taken(pull, 1) == [b"next"]
        await pull.stop()

    async def test_a_pull_that_stops_gives_back_what_it_has_not_taken(self, bus: Bus, other: Bus) -> None:
        first = await reports(bus)
        for n in range(3):
            await other.publish("hr.report.default", b"%d" % n)
        (begun, *_) = await first.take(1)
        await first.ack(begun)
        await first.stop()
        second = await reports(bus)
        assert sorted(await taken(second, 2)) == [b"1", b"2"]
        await second.stop()

    async def test_a_consumer_filters_and_a_purge_takes_back(self, bus: Bus, other: Bus) -> None:
        await topology.ensure_consumer(bus, TASKS.name, worker_consumer("one"))
        for session in ("a", "b", "a"):
            await bus.publish(f"hr.task.one.9.{session}", session.encode())
            await bus.publish(f"hr.task.two.9.{session}", session.encode())
        assert await topology.purge(bus, TASKS.name, "hr.task.*.*.a") == 4
        pull = Pull(bus, TASKS.name, "workers-one", batch=4)
        await pull.start()
        assert await taken(pull, 1) == [b"b"]
        assert (await topology.api(bus, "CONSUMER.INFO.TASKS.workers-one"))["num_pending"] == 0
        await pull.stop()  # says the last ack, which the server takes when it comes to it
        for _ in range(1000):
            if not (await topology.api(bus, "CONSUMER.INFO.TASKS.workers-one"))["num_ack_pending"]:
                break
            await asyncio.sleep(0.01)
        assert await topology.purge(bus, TASKS.name, "hr.task.>") == 1

    async def test_a_lost_stream_is_made_again_and_its_loss_is_told(self, bus: Bus, other: Bus) -> None:
        lost_streams: list[frozenset[str]] = []

        async def hear(lost: frozenset[str]) -> None:
            lost_streams.append(lost)

        bus.on_connected(hear)
        pull = await reports(bus)
        assert "error" not in await topology.api(bus, "STREAM.DELETE.REPORTS")
        await bus.prepare()
        assert lost_streams == [frozenset({"REPORTS"})]
        await other.publish("hr.report.default", b"after")
        assert await taken(pull, 1) == [b"after"]
        await pull.stop()

    async def test_a_buried_message_can_be_seen_and_sent_back(self, bus: Bus, other: Bus) -> None:
        pull = await reports(bus)
        await other.publish("hr.report.default", b"poison", headers={"traceparent": "00-t"})
        (message,) = await pull.take()
        await bury(bus, pull, message, REPORTS.name, "it is poison")
        (seen,) = (await dead.page(bus)).items
        assert (seen.stream, seen.subject, seen.reason, seen.body) == (
            "REPORTS",
            "hr.report.default",
            "it is poison",
            "poison",
        )
        assert (await dead.replay(other, [seen.sequence, 999])) == dead.Replayed([seen.sequence], [999])
        (again,) = await pull.take()
        assert (again.data, again.headers) == (b"poison", {"traceparent": "00-t"})
        await pull.ack(again)
        assert (await dead.page(bus)).items == []
        await pull.stop()
