"""One question, many answers."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.bus.client import Bus
from shared.bus.many import ask_many
from shared.contracts.endpoint import Query
from shared.contracts.errors import NotFound
from shared.service.context import Context
from shared.service.service import Service
from tests.support.bus_rig import Said, Word, connected
from tests.support.servers import Servers, settled
from tests.support.speaking import speaking

SUBJECT = "hr.offer.request"
WORD = Query[Word, Any]("broker", "offer", "request", Word, object, None, "Answers.", at=SUBJECT)


@pytest.fixture
async def gateway(nats: Servers) -> AsyncIterator[Bus]:
    async with connected(nats, "gateway", topology=False) as bus:
        yield bus


async def answering(bus: Bus, text: str) -> Service:
    """`error`: answers with one; `junk`: with what does not decode."""

    async def answer(ctx: Context, word: Word) -> Said | list[int]:
        if text == "error":
            raise NotFound("nothing here", field="text")
        return [1] if text == "junk" else Said(text, ctx.user)

    service = Service(bus, None, "broker", "0.0.1", "")
    service.metadata["site"] = text
    service.on(WORD, answer, group=f"broker-{text}")
    await service.start()
    await settled(bus.nc)
    return service


async def test_all_answer_and_it_ends_when_there_are_enough(nats: Servers, gateway: Bus) -> None:
    async with connected(nats, "broker") as bus:
        for text in ("a", "b", "b", "error", "junk"):
            await answering(bus, text)
        began = time.perf_counter()
        async with ask_many(
            gateway, SUBJECT, Word("?"), Said, within=10, headers=speaking(nats.keys, "ann", SUBJECT)
        ) as answers:
            assert await answers.until(lambda found: len(found) == 2)
            assert sorted(answers.found, key=str) == [Said("a", "ann"), Said("b", "ann")], "one of each group"
            assert await answers.until(lambda found: bool(answers.errors))
        assert [(type(error), error.field) for error in answers.errors] == [(NotFound, "text")]
        assert time.perf_counter() - began < 5


async def test_it_ends_when_the_time_is_up(nats: Servers, gateway: Bus) -> None:
    async with connected(nats, "broker") as bus:
        await answering(bus, "a")
        async with ask_many(gateway, SUBJECT, Word("?"), Said, within=2) as answers:
            assert await answers.until(lambda found: len(found) == 1)
            assert not await answers.until(lambda found: len(found) == 2)
            assert len(answers.found) == 1


async def test_nobody_listens(gateway: Bus) -> None:
    began = time.perf_counter()
    async with ask_many(gateway, SUBJECT, Word("?"), Said, within=10) as answers:
        assert not await answers.until(lambda found: len(found) == 1)
    assert time.perf_counter() - began < 5


async def test_an_endpoint_elsewhere_counts_as_any_other(nats: Servers, gateway: Bus) -> None:
    async with connected(nats, "broker") as bus:
        await answering(bus, "a")
        await gateway.request(SUBJECT, Word("?"), Said)
        stats = json.loads((await gateway.ask("$SRV.STATS.broker", b"")).data)
        endpoint = stats["endpoints"][0]
        assert (endpoint["subject"], endpoint["queue_group"], endpoint["num_requests"]) == (SUBJECT, "broker-a", 1)
        assert stats["metadata"] == {"site": "a"}
