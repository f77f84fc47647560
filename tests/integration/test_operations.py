"""Chains that are shown as operations: what their owners see of them, and what they may do, on real NATS and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from shared.chain.operations import PLACES_OF_ONE, Operations
from shared.chain.store import OperationOf
from shared.contracts.errors import Conflict, NotFound, RateLimited
from shared.contracts.ids import uuid7
from shared.contracts.operations import Amount, Operation, OperationList, OperationRef, OperationWait, operation_name
from shared.service.context import Context, speaking_for
from shared.testing.conformance_chain import CHAINS, LOG, SHOWN, TRIP, Trip
from tests.support.chain_rig import NatsBench, open_bench
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.wait import wait_until


@pytest_asyncio.fixture
async def bench(nats: Servers, database: Database) -> AsyncIterator[NatsBench]:
    async with open_bench(nats, database, *CHAINS) as bench:
        await bench.runner()
        yield bench


@pytest_asyncio.fixture
async def events(nats: Servers) -> AsyncIterator[list[Operation]]:
    """Every operation that is told of, as it was then."""
    received: list[Operation] = []
    watcher = await nats.connect()

    async def hear(message: Msg) -> None:
        received.append(msgspec.json.decode(message.data, type=Operation))

    await watcher.subscribe("hr.evt.operation.changed.>", cb=hear)
    await watcher.flush()
    yield received
    await watcher.close()


def asker(user: str) -> Context:
    return speaking_for(user)


ALICE, BOB, ADMIN = asker("alice"), asker("bob"), asker("admin")


async def start(bench: NatsBench, owner: str = "alice", target: str = "datasets/d1", **script: list[str]) -> UUID:
    async with bench.begin() as unit:
        # An id as users choose them: it says nothing of when it was made.
        shown = OperationOf("archive", owner, target)
        return await bench.chains.start(unit, SHOWN, Trip(script), id=uuid4(), operation=shown)


async def waits(bench: NatsBench, id: UUID) -> None:
    """Until the chain's first step has run, and waits."""

    async def looked() -> bool:
        return bool(LOG.get(id))

    await wait_until(looked, on_timeout="the step runs")


async def test_an_operation_counts_and_ends_with_its_result(bench: NatsBench, events: list[Operation]) -> None:
    id, operations = await start(bench), Operations(bench.chains)
    ended = await operations.wait(ALICE, OperationWait(id))
    assert (ended.name, ended.done, ended.error) == (operation_name(id), True, None)
    assert ended.result == {"counted": 2}
    meta = ended.metadata
    assert (meta.kind, meta.target, meta.owner, meta.state) == ("archive", "datasets/d1", "alice", "succeeded")
    assert (meta.step, meta.cancellable, meta.message) == ("count", False, "")
    assert meta.progress == {"datablocks": Amount(1, 2), "bytes": Amount(0)}
    assert meta.ended_at is not None
    await wait_until(lambda: bool(events) and events[-1].done, on_timeout=lambda: events)
    assert [one.metadata.version for one in events] == [1, 2, 3, 5], "begun, packed, counted, counted again and done"
    assert [one.metadata.progress.get("datablocks") for one in events][2:] == [Amount(0, 2), Amount(1, 2)]
    assert [one.metadata.cancellable for one in events] == [True, False, False, False]
    assert events[-1] == ended


async def test_only_its_owner_and_operators_see_it(bench: NatsBench) -> None:
    id, operations = await start(bench), Operations(bench.chains)
    assert (await operations.get(ADMIN, OperationRef(id))).name == operation_name(id)
    for ask in (operations.get(BOB, OperationRef(id)), operations.wait(BOB, OperationWait(id))):
        with pytest.raises(NotFound):
            await ask
    with pytest.raises(NotFound):
        async with bench.begin() as unit:
            await operations.cancel(unit, BOB, OperationRef(id))
    assert (await operations.list(BOB, OperationList())).items == []


async def test_a_chain_that_is_no_operation_is_not_shown(bench: NatsBench) -> None:
    async with bench.begin() as unit:
        id = await bench.chains.start(unit, TRIP, Trip())
    operations = Operations(bench.chains)
    with pytest.raises(NotFound):
        await operations.get(ADMIN, OperationRef(id))
    with pytest.raises(NotFound):
        await operations.get(ADMIN, OperationRef(uuid7()))
    assert (await operations.list(ADMIN, OperationList())).items == []


async def test_operations_are_listed_newest_first_page_by_page(bench: NatsBench) -> None:
    operations = Operations(bench.chains)
    ids = [await start(bench, target=f"datasets/d{number % 2}") for number in range(5)]
    other = await start(bench, owner="bob")
    going_on = await start(bench, pack=["later"] * 1000)
    for id in (*ids, other):
        assert (await operations.wait(ADMIN, OperationWait(id))).done

    async def names(ctx: Context, asked: OperationList) -> list[str]:
        found: list[str] = []
        while True:
            page = await operations.list(ctx, asked)
            assert len(page.items) <= asked.size
            found += [one.name for one in page.items]
            if not page.next:
                return found
            asked = msgspec.structs.replace(asked, token=page.next)

    newest_first = [operation_name(id) for id in (going_on, *reversed(ids))]
    assert await names(ALICE, OperationList(size=2)) == newest_first
    assert await names(ADMIN, OperationList(size=2)) == [newest_first[0], operation_name(other), *newest_first[1:]]
    assert await names(ALICE, OperationList(target="datasets/d0")) == [operation_name(ids[n]) for n in (4, 2, 0)]
    assert await names(ALICE, OperationList(kind="repair")) == []
    assert await names(ADMIN, OperationList(kind="archive", active=True)) == [operation_name(going_on)]


async def test_one_that_waits_says_why_and_can_be_cancelled(bench: NatsBench, events: list[Operation]) -> None:
    id, operations = await start(bench, pack=["later"] * 1000), Operations(bench.chains)
    await waits(bench, id)

    async def says() -> bool:
        return (await operations.get(ALICE, OperationRef(id))).metadata.message == "the tape robot"

    await wait_until(says, on_timeout="it says what it waits for")
    seen = await operations.wait(ALICE, OperationWait(id, timeout=0))
    assert not seen.done
    assert (seen.metadata.state, seen.metadata.cancellable) == ("running", True)
    for _ in range(2):
        async with bench.begin() as unit:
            answer = await operations.cancel(unit, ALICE, OperationRef(id))
        assert answer.metadata.state in ("cancelling", "cancelled")
        assert not answer.metadata.cancellable
    ended = await operations.wait(ALICE, OperationWait(id))
    assert (ended.done, ended.metadata.state, ended.result) == (True, "cancelled", None)
    assert ended.error is not None
    assert ended.error.code == "cancelled"
    await wait_until(lambda: bool(events) and events[-1] == ended, on_timeout=lambda: events)


async def test_what_cannot_be_cancelled_says_so(bench: NatsBench) -> None:
    operations = Operations(bench.chains)
    id = await start(bench)
    await operations.wait(ALICE, OperationWait(id))
    with pytest.raises(Conflict, match=f"operations/{id} is succeeded: it cannot be cancelled"):
        async with bench.begin() as unit:
            await operations.cancel(unit, ALICE, OperationRef(id))
    async with bench.begin() as unit:
        state = Trip({"pack": ["later"] * 1000})
        id = await bench.chains.start(unit, TRIP, state, operation=OperationOf("purge", "alice", "sessions/s"))
    with pytest.raises(Conflict, match="a purge cannot be cancelled while it is at pack"):
        async with bench.begin() as unit:
            await operations.cancel(unit, ALICE, OperationRef(id))


async def test_one_that_fails_says_whose_fault_it_is(bench: NatsBench) -> None:
    operations = Operations(bench.chains)
    ours, theirs = await start(bench, count=["system"]), await start(bench, pack=["user"])
    for id, code, message in (
        (ours, "internal", "RuntimeError: count broke"),
        (theirs, "failed_precondition", "pack: the file is missing"),
    ):
        ended = await operations.wait(ALICE, OperationWait(id))
        assert ended.metadata.state == "failed"
        assert ended.error is not None
        assert (ended.error.code, ended.error.message, ended.result) == (code, message, None)


async def test_one_that_another_service_goes_on_with_is_shown_no_longer(
    bench: NatsBench, events: list[Operation]
) -> None:
    id, operations = await start(bench, count=["hand over"]), Operations(bench.chains)
    with pytest.raises(NotFound):
        await operations.wait(ALICE, OperationWait(id))
    assert (await bench.chains.wait(id)).status == "done"
    assert not any(one.done for one in events), "its end is the other's to tell"


async def test_one_users_waits_leave_the_others_places(bench: NatsBench) -> None:
    mine, theirs = await start(bench, pack=["later"] * 1000), await start(bench, owner="bob")
    operations = Operations(bench.chains)
    *waited, refused, other = await asyncio.gather(
        *(operations.wait(ALICE, OperationWait(mine, timeout=0)) for _ in range(PLACES_OF_ONE + 1)),
        operations.wait(BOB, OperationWait(theirs)),
        return_exceptions=True,
    )
    assert all(isinstance(one, Operation) for one in waited)
    assert isinstance(refused, RateLimited)
    assert "at most 50 requests that wait for operations of a user" in str(refused)
    assert isinstance(other, Operation)
    assert other.done
    assert not (await operations.wait(ALICE, OperationWait(mine, timeout=0))).done, "the places are free again"


async def test_who_waits_is_answered_as_things_are_when_the_process_stops(bench: NatsBench) -> None:
    id, operations = await start(bench, pack=["later"] * 1000), Operations(bench.chains)
    waiting = asyncio.create_task(operations.wait(ALICE, OperationWait(id, timeout=30)))
    await waits(bench, id)
    assert not waiting.done()
    operations.stop()
    async with asyncio.timeout(5):
        for answer in (await waiting, await operations.wait(ALICE, OperationWait(id, timeout=30))):
            assert (answer.name, answer.metadata.state) == (operation_name(id), "running")
