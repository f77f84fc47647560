"""Request-reply: typed, with the errors that the other side raised, and visible to `nats micro`."""

import asyncio
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import msgspec
import pytest
from nats.aio.msg import Msg

from shared.bus import trace
from shared.contracts import headers as h
from shared.contracts.endpoint import Query
from shared.contracts.errors import BY_CODE, HeadraceError, Internal, Invalid, TimedOut, Unavailable
from shared.db.pool import open_pool
from shared.service.context import Context
from shared.service.service import Service
from shared.testing.conformance_bus import flushed
from tests.support.bus_rig import Bench, Said, Word, connected, open_bench
from tests.support.databases import Database
from tests.support.proxy import Proxy
from tests.support.servers import Servers
from tests.support.speaking import speaking
from tests.support.wait import wait_until

ECHO, FAIL, SAY = "hr.rpc.archiver.word.echo", "hr.rpc.archiver.word.fail", "hr.rpc.archiver.word.say"


def word(verb: str) -> Query[Word, Said]:
    """An endpoint of the test's own."""
    return Query("archiver", "word", verb, Word, Said, None, "What the test makes of it.")


@pytest.fixture
async def bench(nats: Servers, database: Database) -> AsyncIterator[Bench]:
    async with open_bench(nats, database) as bench:
        await bench.start()
        yield bench
        await bench.service.stop()


async def test_a_request_is_answered_and_knows_who_asks(bench: Bench, nats: Servers) -> None:
    async with connected(nats, "admin", topology=False) as gateway:
        said = await gateway.request(ECHO, Word("ab", 2), Said, headers=speaking(nats.keys, "ann", ECHO))
        assert said == Said("abab", "ann")
        assert await gateway.request(ECHO, b'{"text": "x"}', Said) == Said("x", "")


async def test_every_error_arrives_as_what_it_was(bench: Bench) -> None:
    for code, kind in BY_CODE.items():
        with pytest.raises(HeadraceError) as raised:
            await bench.asker.request(FAIL, Word(code), Said)
        assert type(raised.value) is kind
        assert (raised.value.message, raised.value.field) == ("as told", "there")


async def test_a_surprise_is_internal_and_keeps_its_secret(bench: Bench) -> None:
    with pytest.raises(Internal) as raised:
        await bench.asker.request(FAIL, Word("surprise"), Said)
    assert "secret" not in raised.value.message


async def test_a_malformed_request_names_the_field(bench: Bench) -> None:
    for body, field in (
        (b"{", ""),
        (b'{"text": 3}', "text"),
        (b"{}", "text"),
        (b'{"text": "a", "times": "b"}', "times"),
        (b'{"text": "a", "more": 1}', "more"),
    ):
        with pytest.raises(Invalid) as raised:
            await bench.asker.request(ECHO, body, Said)
        assert raised.value.field == field


async def test_nobody_and_nothing_in_time(bench: Bench) -> None:
    with pytest.raises(Unavailable, match="nobody answers"):
        await bench.asker.request("hr.rpc.archiver.word.unknown", Word("x"), Said)
    silent = await bench.bus.nc.subscribe("hr.rpc.archiver.silent.ask")
    await flushed(bench.bus)
    with pytest.raises(TimedOut):
        await bench.asker.request("hr.rpc.archiver.silent.ask", Word("x"), Said, timeout=0.1)
    await silent.unsubscribe()


async def test_who_is_told_to_end_when_his_answer_comes_ends(bench: Bench) -> None:
    silent = await bench.bus.nc.subscribe("hr.rpc.archiver.silent.ask")
    await flushed(bench.bus)
    before = set(bench.asker.nc._resp_map)
    asking = asyncio.create_task(bench.asker.ask("hr.rpc.archiver.silent.ask", b""))
    (question,) = await wait_until(lambda: bench.asker.nc._resp_map.keys() - before)
    bench.asker.nc._resp_map[question].set_result(Msg(bench.asker.nc))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await silent.unsubscribe()


async def test_a_handler_that_takes_too_long_is_stopped_and_requests_run_side_by_side(nats: Servers) -> None:
    async with connected(nats) as bus, connected(nats, "admin", topology=False) as asker:
        entered, never = asyncio.Event(), asyncio.Event()

        async def wait(ctx: Context, word: Word) -> Said:
            entered.set()
            await never.wait()
            return Said("", "")

        async def quick(ctx: Context, word: Word) -> Said:
            await entered.wait()
            return Said(word.text, "")

        service = Service(bus, None, "archiver", "1.0.0", "")
        service.on(word("wait"), wait, seconds=0.3)
        service.on(word("quick"), quick)
        await service.start()
        await flushed(bus)
        slow = asyncio.create_task(asker.request("hr.rpc.archiver.word.wait", Word("x"), Said))
        assert (await asker.request("hr.rpc.archiver.word.quick", Word("now"), Said)).text == "now"
        with pytest.raises(TimedOut, match=r"0\.3 s"):
            await slow
        await service.stop()


async def test_the_trace_goes_on_and_stands_on_errors(bench: Bench) -> None:
    parent = trace.new()
    answer = await bench.asker.ask(FAIL, b'{"text": "not_found"}', headers={h.TRACE: parent})
    assert json.loads(answer.data)["trace"] == trace.trace_id(parent)
    await bench.asker.request(SAY, Word("traced"), Said, headers={h.TRACE: parent})
    assert await bench.pool.fetchval("SELECT trace FROM outbox") == parent


async def test_endpoints_are_seen_by_micro_with_our_counts(bench: Bench, nats: Servers) -> None:
    for text in ("a", "b", "c"):
        await bench.asker.request(ECHO, Word(text), Said)
    with pytest.raises(HeadraceError):
        await bench.asker.request(FAIL, Word("internal"), Said)
    async with connected(nats, "gateway", topology=False) as gateway:
        info = json.loads((await gateway.ask("$SRV.INFO.archiver", b"")).data)
        stats = json.loads((await gateway.ask("$SRV.STATS.archiver", b"")).data)
    assert (info["name"], info["version"], info["description"]) == ("archiver", "1.2.3", "what the tests ask")
    endpoints = {e["name"]: e for e in info["endpoints"]}
    assert endpoints["word-say"]["subject"] == SAY
    assert {name: e["metadata"]["durable"] for name, e in endpoints.items()} == {
        "word-say": "yes",
        "word-echo": "no",
        "word-fail": "no",
    }
    assert {e["queue_group"] for e in endpoints.values()} == {"archiver"}
    found = {e["name"]: e for e in stats["endpoints"]}
    assert (found["word-echo"]["num_requests"], found["word-echo"]["num_errors"]) == (3, 0)
    assert (found["word-fail"]["num_requests"], found["word-fail"]["num_errors"]) == (1, 1)
    assert found["word-echo"]["processing_time"] > 0
    assert found["word-say"]["num_requests"] == 0


async def test_two_processes_share_the_requests_of_a_service(nats: Servers) -> None:
    async with connected(nats) as one, connected(nats) as two, connected(nats, "admin", topology=False) as asker:
        seen = {"one": 0, "two": 0}

        def handler(name: str):  # type: ignore[no-untyped-def]
            async def count(ctx: Context, word: Word) -> Said:
                seen[name] += 1
                return Said(name, "")

            return count

        services = []
        for name, bus in (("one", one), ("two", two)):
            service = Service(bus, None, "archiver", "1.0.0", "")
            service.on(word("count"), handler(name))
            await service.start()
            services.append(service)
        for bus in (one, two):
            await flushed(bus)
        for _ in range(60):
            await asker.request("hr.rpc.archiver.word.count", Word("x"), Said)
        assert sum(seen.values()) == 60
        assert min(seen.values()) > 0
        for service in services:
            await service.stop()


async def test_a_read_while_the_database_is_away_says_so_and_goes_on_when_it_is_back(
    bench: Bench, database: Database
) -> None:
    url = database.url("archiver")
    async with (
        Proxy(urlsplit(url).port or 0) as line,
        await open_pool(line.url(url), "archiver", max_size=1) as pool,
    ):

        async def read(ctx: Context, word: Word) -> Said:
            return Said(await pool.fetchval("SELECT $1::text", word.text), ctx.user)

        service = Service(bench.bus, None, "archiver", "1", "reads only")
        service.on(word("read"), read)
        ctx = Context("ann", subject="hr.rpc.archiver.word.read", trace=trace.new())

        async def ask(text: str = "x") -> bytes:
            return await service.handle("word.read", ctx, msgspec.json.encode(Word(text)))

        assert await ask() == b'{"text":"x","user":"ann"}'
        line.refuse()
        for _ in range(3):
            with pytest.raises(Unavailable, match="the database is away"):
                await ask()
        line.heal()
        assert await ask() == b'{"text":"x","user":"ann"}'
        with pytest.raises(Invalid) as refused:
            await ask("a\x00")
        assert refused.value.field == "text"


async def test_what_no_column_holds_is_the_requests_fault_though_nobody_said_so(bench: Bench) -> None:
    """The last net, for a bound that a contract forgot."""

    async def store(ctx: Context, word: Word) -> Said:
        return Said(str(await bench.pool.fetchval("SELECT $1::smallint", word.times)), ctx.user)

    bench.service.on(word("store"), store)
    ctx = Context("ann", subject="hr.rpc.archiver.word.store", trace=trace.new())
    with pytest.raises(Invalid, match="outside of what can be stored"):
        await bench.service.handle("word.store", ctx, b'{"text": "x", "times": 40000}')
