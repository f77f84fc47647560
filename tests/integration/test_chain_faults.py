"""Chains when something dies in the middle: each step's effect counts exactly once, whatever was lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from shared.bus.client import BusSettings
from shared.chain import runner as runner_module
from shared.chain import store
from shared.chain.context import StepContext
from shared.chain.declare import Chain, critical, retry, step
from shared.chain.effects import StepDue
from shared.chain.explain import ChainInfo
from shared.chain.machine import ChainStatus
from shared.chain.runner import Runner
from shared.contracts.ids import uuid7
from shared.runtime.retry import Backoff
from shared.testing.conformance_chain import AT_ONCE, CHAINS, LOG, TRIP, Trip, visited
from tests.support.chain_rig import NatsBench, open_bench
from tests.support.databases import Database
from tests.support.proxy import Proxy
from tests.support.servers import Servers
from tests.support.wait import wait_until

SOON = Backoff(first=1, factor=1, ceiling=1, jitter=0)
GATES: dict[str, asyncio.Event] = {}
ENTERED: dict[str, int] = {}
STOPPED: list[str] = []


async def gated(ctx: StepContext, state: Trip) -> Trip:
    """Runs until its gate is opened, or until it is stopped."""
    ENTERED[str(ctx.chain)] = ENTERED.get(str(ctx.chain), 0) + 1
    try:
        await GATES.setdefault(str(ctx.chain), asyncio.Event()).wait()
    except asyncio.CancelledError:
        STOPPED.append(str(ctx.chain))
        raise
    return msgspec.structs.replace(state, visited=[*state.visited, "gated"])


async def first(ctx: StepContext, state: Trip) -> Trip:
    return msgspec.structs.replace(state, visited=[*state.visited, "first"])


async def undo(ctx: StepContext, state: Trip) -> Trip:
    return msgspec.structs.replace(state, visited=[*state.visited, ctx.step])


async def stubborn(ctx: StepContext, state: Trip) -> Trip:
    if ctx.tries < 3:
        raise RuntimeError("not yet")
    return msgspec.structs.replace(state, visited=[*state.visited, "stubborn"])


SLOW = Chain("slow", Trip, step(first, undo=undo), critical(gated, tries=2, backoff=AT_ONCE, undo=undo))
TIMED = Chain("timed", Trip, critical(gated, tries=2, backoff=AT_ONCE, timeout=0.1, undo=undo))
STUBBORN = Chain("stubborn", Trip, step(first), retry(stubborn, backoff=SOON))


@pytest_asyncio.fixture
async def bench(nats: Servers, database: Database) -> AsyncIterator[NatsBench]:
    async with open_bench(nats, database, *CHAINS, SLOW, TIMED, STUBBORN) as bench:
        yield bench


async def start(bench: NatsBench, chain: Chain[Any], **script: list[str]) -> UUID:
    async with bench.begin() as unit:
        return await bench.chains.start(unit, chain, Trip(script))


async def ended(bench: NatsBench, id: UUID) -> ChainInfo:
    return await bench.chains.wait(id, timeout=20)


async def in_stream(bench: NatsBench, stream: str = "STEPS") -> int:
    return int((await bench.bus.nc.jetstream().stream_info(stream)).state.messages)


async def test_tries_are_spaced_by_schedules(bench: NatsBench) -> None:
    await bench.runner(lease=60, sweep_every=20)  # the sweeper would send again what a busy machine takes late
    begin = asyncio.get_running_loop().time()
    id = await start(bench, STUBBORN)
    await wait_until(lambda: f"hr.at.archiver.{id}" in bench.steps)
    received = await bench.chains.explain(id)
    assert received.summary == "stubborn is at stubborn (2 of 2)"
    assert "failed tries" in received.reasons[0]
    assert received.reasons[1] == "its last words: RuntimeError: not yet"
    info = await ended(bench, id)
    assert asyncio.get_running_loop().time() - begin >= 3 * SOON.first
    assert visited(info) == ["first", "stubborn"]
    due_at_once = ["hr.step.archiver.stubborn.first", "hr.step.archiver.stubborn.stubborn"]
    assert bench.steps == due_at_once + [f"hr.at.archiver.{id}"] * 3


KILLS: dict[str, tuple[object, str, bool]] = {
    "before the claim": (store, "claim", False),
    "after the claim": (store, "claim", True),
    "before the step": (runner_module, "attempt", False),
    "after the step": (runner_module, "attempt", True),
    "in the commit, before the row moves": (store, "move", False),
    "in the commit, after the row moved": (store, "move", True),
}


PUBLISHING = ("after the commit", "after the next step was published")
PLACES = [(where, at) for where in KILLS for at in (0, 1, 2)] + [(where, at) for where in PUBLISHING for at in (0, 1)]


@pytest.mark.parametrize(("where", "at"), PLACES)
async def test_a_kill_between_any_two_lines(
    bench: NatsBench, monkeypatch: pytest.MonkeyPatch, where: str, at: int
) -> None:
    killed, count = asyncio.Event(), -1

    def killing(call: Callable[..., Awaitable[Any]], after: bool) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count != at or killed.is_set():
                return await call(*arguments, **options)
            if after:
                await call(*arguments, **options)
            killed.set()
            await asyncio.Event().wait()  # it never gets any further

        return wrapped

    doomed = await bench.runner(lease=0.6)
    if where in KILLS:
        module, name, after = KILLS[where]
        monkeypatch.setattr(module, name, killing(getattr(module, name), after))
    else:
        effects = bench.chains.effects
        monkeypatch.setattr(effects, "due", killing(effects.due, where == PUBLISHING[1]))
        count -= 1  # the start publishes too, and is not killed
    id = await start(bench, TRIP)
    await asyncio.wait_for(killed.wait(), 10)
    await bench.kill(doomed)
    monkeypatch.undo()
    await bench.runner(lease=0.6)
    info = await ended(bench, id)
    assert info.status == "done"
    assert visited(info) == ["pack", "move", "report"]
    # Each once. What a kill left in the outbox is told later, so the order may be another.
    events = sorted(["chain.started", "dataset.pack", "dataset.move", "dataset.report", "chain.done"])
    await wait_until(lambda: bench.events_of(id) == events, on_timeout=lambda: bench.heard)
    ran = LOG[id]
    assert len(ran) <= 4, "only the step that was killed may have run again"


async def _is_empty(bench: NatsBench) -> bool:
    return await in_stream(bench) == 0


async def _holds(bench: NatsBench, messages: int) -> bool:
    return await in_stream(bench) == messages


async def test_a_killed_process_holds_nothing_up_for_long(bench: NatsBench) -> None:
    doomed = await bench.runner(lease=0.6)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    await bench.kill(doomed)
    await bench.runner(lease=0.6)
    await wait_until(lambda: ENTERED.get(str(id)) == 2)
    GATES[str(id)].set()
    assert visited(await ended(bench, id)) == ["first", "gated"]


async def test_a_long_step_keeps_its_lease(bench: NatsBench) -> None:
    one, _other = await bench.runner(lease=0.3), await bench.runner(lease=0.3)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    renewed = [await _lease_of(bench, id)]

    async def renewed_often() -> bool:
        renewed.append(await _lease_of(bench, id))
        return len(set(renewed)) > 8

    await wait_until(renewed_often)
    assert (await bench.chains.explain(id)).reasons[0].startswith(f"the step runs at {one.name} (lease until ")
    assert ENTERED[str(id)] == 1
    GATES[str(id)].set()
    assert visited(await ended(bench, id)) == ["first", "gated"]


async def _lease_of(bench: NatsBench, id: UUID) -> Any:
    return await bench.pool.fetchval("SELECT lease_until FROM chains WHERE id = $1", id)


async def test_a_run_that_lost_its_lease_counts_for_nothing(bench: NatsBench) -> None:
    await bench.runner(lease=0.6)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    # As if this process had been away for so long that another took the step.
    await bench.pool.execute("UPDATE chains SET claim = claim + 1 WHERE id = $1", id)
    await wait_until(lambda: str(id) in STOPPED)
    await wait_until(lambda: ENTERED.get(str(id)) == 2)
    GATES[str(id)].set()
    assert visited(await ended(bench, id)) == ["first", "gated"]


async def test_a_running_step_is_stopped_when_the_chain_is_cancelled(bench: NatsBench) -> None:
    await bench.runner(lease=30)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    async with bench.begin() as unit:
        assert (await bench.chains.cancel(unit, id)).status == "running"
    info = await ended(bench, id)
    assert str(id) in STOPPED
    assert (info.status, info.step) == ("cancelled", "gated")
    assert visited(info) == ["first", "undo-gated", "undo-first"]


async def test_another_processs_step_is_stopped_too(bench: NatsBench, nats: Servers) -> None:
    await bench.runner(lease=0.6)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    bench.chains.on_cancel = lambda id: None  # this process knows nothing of that runner
    async with bench.begin() as unit:
        await bench.chains.cancel(unit, id)
    assert (await ended(bench, id)).status == "cancelled"


async def test_a_cancelled_chain_whose_process_died_is_undone(bench: NatsBench) -> None:
    doomed = await bench.runner(lease=0.6)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    await bench.kill(doomed)
    async with bench.begin() as unit:
        await bench.chains.cancel(unit, id)
    await bench.runner(lease=0.6)
    assert visited(await ended(bench, id)) == ["first", "undo-gated", "undo-first"]
    assert ENTERED[str(id)] == 1


async def test_a_step_that_takes_too_long_has_failed(bench: NatsBench) -> None:
    await bench.runner()
    info = await ended(bench, await start(bench, TIMED))
    assert (info.status, info.error) == ("failed", "gated took longer than 0.1 s")
    assert visited(info) == ["undo-gated"]


async def test_stopping_gives_the_step_back_at_once(bench: NatsBench) -> None:
    first_runner = await bench.runner(lease=600)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    await first_runner.stop(grace=0)
    bench.runners.remove(first_runner)
    await bench.runner(lease=600)
    await wait_until(lambda: ENTERED.get(str(id)) == 2)
    GATES[str(id)].set()
    assert (await ended(bench, id)).status == "done"


async def test_stopping_lets_a_step_end(bench: NatsBench) -> None:
    runner = await bench.runner()
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    stopping = asyncio.create_task(runner.stop(grace=10))
    await wait_until(lambda: runner.pull.stopped)
    GATES[str(id)].set()
    await stopping
    bench.runners.remove(runner)
    assert (await bench.chains.get(id)).status == "done"


async def test_messages_that_come_twice_or_late_change_nothing(bench: NatsBench) -> None:
    runner = await bench.runner()
    id = await start(bench, TRIP, report=["system"])
    info = await ended(bench, id)
    ran = list(LOG[id])
    for epoch in range(1, 6):
        for name in ("pack", "move", "report"):
            due = StepDue(id, epoch, "trip", 1, name, 0)
            await bench.bus.publish(f"hr.step.archiver.trip.{name}", due)
    gone = StepDue(uuid7(), 1, "trip", 1, "pack", 0)
    await bench.bus.publish("hr.step.archiver.trip.pack", gone)
    await wait_until(lambda: _is_empty(bench))
    assert LOG[id] == ran
    assert await bench.chains.get(id) == info
    assert isinstance(runner, Runner)


async def test_copies_of_a_step_that_runs_wait_and_come_to_nothing(bench: NatsBench) -> None:
    await bench.runner(slots=4)
    id = await start(bench, SLOW)
    await wait_until(lambda: ENTERED.get(str(id)) == 1)
    for _ in range(3):
        await bench.bus.publish("hr.step.archiver.slow.gated", StepDue(id, 2, "slow", 1, "gated", 0))
    await wait_until(lambda: len(bench.steps) == 5)
    other = await start(bench, TRIP)
    assert (await ended(bench, other)).status == "done"
    assert ENTERED[str(id)] == 1
    GATES[str(id)].set()
    assert visited(await ended(bench, id)) == ["first", "gated"]
    await wait_until(lambda: _is_empty(bench))


async def test_a_purged_stream_is_filled_again_from_the_table(bench: NatsBench, servers: Servers) -> None:
    ids = [await start(bench, TRIP) for _ in range(20)]
    waiting = await start(bench, STUBBORN)
    await wait_until(lambda: _holds(bench, 21))
    assert await servers.purge("STEPS", "hr.step.>") == 21
    await bench.runner()
    for id in [*ids, waiting]:
        assert (await ended(bench, id)).status == "done"


async def test_a_purged_schedule_is_made_up_for(bench: NatsBench, servers: Servers) -> None:
    await bench.runner()
    id = await start(bench, STUBBORN)

    async def scheduled() -> bool:
        return await servers.purge("STEPS", "hr.at.>") == 1

    await wait_until(scheduled)
    assert visited(await ended(bench, id)) == ["first", "stubborn"]


async def test_a_lost_stream_is_filled_again_at_once(bench: NatsBench, nats: Servers) -> None:
    # Nothing is overdue for this runner for an hour: only that the stream was lost makes it look.
    await bench.runner(sweep_every=3600)
    far = await start(bench, STUBBORN)
    await wait_until(lambda: len(bench.steps) >= 2)
    ids = [await start(bench, TRIP) for _ in range(5)]
    await nats.forget("STEPS")
    await bench.bus.prepare()
    for id in [*ids, far]:
        assert (await ended(bench, id)).status == "done"
        assert len(LOG.get(id, [])) <= 4


async def test_a_message_that_makes_no_sense_is_buried(bench: NatsBench) -> None:
    await bench.runner(slots=1)
    await bench.bus.publish("hr.step.archiver.trip.pack", b'{"chain": 7}')
    await bench.bus.publish("hr.step.archiver.trip.pack", b"\xff")
    assert (await ended(bench, await start(bench, TRIP))).status == "done"
    await wait_until(lambda: _buried(bench))
    await wait_until(lambda: _is_empty(bench))


async def _buried(bench: NatsBench) -> bool:
    return await in_stream(bench, "DEAD") == 2


async def test_a_chain_that_is_not_known_here_waits_for_who_knows_it(bench: NatsBench) -> None:
    await bench.runner()
    id = uuid7()
    newer = Chain("trip", Trip, *TRIP.steps, version=2)
    bench.chains.registry.chains[("trip", 2)] = newer
    async with bench.begin() as unit:
        await bench.chains.start(unit, newer, Trip(), id=id)
        del bench.chains.registry.chains[("trip", 2)]
    received = await bench.chains.explain(id)
    assert "does not know version 2 of trip" in received.reasons[0]
    await wait_until(lambda: bench.steps)
    bench.chains.registry.chains[("trip", 2)] = newer
    assert (await ended(bench, id)).status == "done"


async def test_no_more_steps_than_slots(bench: NatsBench) -> None:
    await bench.runner(slots=2)
    ids = [await start(bench, SLOW) for _ in range(4)]

    def running() -> list[str]:
        return [str(id) for id in ids if str(id) in ENTERED and not GATES[str(id)].is_set()]

    for left in (4, 3, 2, 1):
        await wait_until(lambda left=left: len(running()) == min(2, left))  # type: ignore[misc]
        one = running()[0]
        GATES[one].set()
        await ended(bench, UUID(one))


async def test_a_database_that_is_cut_off_for_a_moment_costs_no_second_run(nats: Servers, database: Database) -> None:
    async with (
        Proxy(urlsplit(database.url("archiver")).port or 0) as line,
        open_bench(nats, database, SLOW, url=line.url(database.url("archiver"))) as bench,
    ):
        await bench.runner(lease=60)
        id = await start(bench, SLOW)
        await wait_until(lambda: ENTERED.get(str(id)) == 1)
        line.refuse()
        GATES[str(id)].set()
        asyncio.get_running_loop().call_later(0.5, line.heal)

        async def done() -> bool:
            return await _status_of(database, id) == ChainStatus.DONE

        await wait_until(done)
        assert ENTERED[str(id)] == 1


async def _status_of(database: Database, id: UUID) -> int:
    """Over a connection that nobody cuts."""
    connection = await asyncpg.connect(database.admin_url)
    try:
        return int(await connection.fetchval("SELECT status FROM archiver.chains WHERE id = $1", id))
    finally:
        await connection.close()


async def test_a_bus_that_is_cut_off_for_a_moment(nats: Servers, database: Database) -> None:
    address = urlsplit(nats.nats_url)
    async with Proxy(address.port or 0) as line:
        settings = BusSettings(**{**nats.bus("archiver"), "nats_url": line.url(nats.nats_url)})
        async with open_bench(nats, database, SLOW, TRIP, settings=settings) as bench:
            await bench.runner(lease=60)
            id = await start(bench, SLOW)
            await wait_until(lambda: ENTERED.get(str(id)) == 1)
            line.refuse()
            await wait_until(lambda: not bench.bus.is_connected)
            GATES[str(id)].set()
            other = await start(bench, TRIP)
            assert visited(await ended(bench, id)) == ["first", "gated"]
            line.heal()
            assert (await ended(bench, other)).status == "done"
            assert ENTERED[str(id)] == 1
