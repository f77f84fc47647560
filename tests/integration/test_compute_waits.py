"""Waiting for results: woken by the frames of the commits that end them, whichever scheduler makes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.scheduler.compute.results import waits
from services.scheduler.compute.results.waits import Waiter, Waits
from shared.contracts import compute as c
from shared.contracts import ids
from shared.contracts.errors import Invalid, NotFound, RateLimited
from shared.runtime.retry import Backoff
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig, scheduler, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
NEVER = Backoff(first=60, ceiling=60)


@app.function
async def echo(task: Task) -> Any:
    return task.payload


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=8):
        yield rig


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> list[Waits]:
    """Who waits here at the moment. Nobody reads again by themselves: only an event can wake them."""
    monkeypatch.setattr(waits, "AGAIN", NEVER)
    here: list[Waits] = []
    until = Waits.until_done

    async def noted(self: Waits, *arguments: Any) -> None:
        here.append(self)
        try:
            await until(self, *arguments)
        finally:
            here.remove(self)

    monkeypatch.setattr(Waits, "until_done", noted)
    return here


async def wait(rig: Rig, *results: UUID, user: str = "ann", **more: Any) -> c.ResultWaited:
    return await rig.ask("result.wait", c.ResultWait(list(results), **more), c.ResultWaited, user=user)


async def test_all_of_them_or_any(rig: Rig, waiting: list[Waits]) -> None:
    session = await rig.session()
    one, two, gone = [await rig.result(session) for _ in range(3)]
    everything = asyncio.ensure_future(wait(rig, one, two, gone, timeout=15))
    first = asyncio.ensure_future(wait(rig, one, two, any=True, timeout=15))
    await wait_until(lambda: len(waiting) == 2)
    await rig.complete(two, b"2")
    answer = await first
    assert (answer.done, answer.states, answer.open) == (True, {one: "created", two: "completed"}, [one])
    await rig.ask("result.abort", c.ResultAbort(session, [one]), c.ResultList)
    assert not everything.done()
    await rig.ask("result.delete", c.ResultDelete(session, [gone]), c.ResultList)
    answer = await everything
    assert (answer.done, answer.open) == (True, [])
    assert answer.states == {one: "aborted", two: "completed", gone: "deleted"}
    assert await wait(rig, one, two, gone) == answer  # at once


async def test_what_tasks_make_is_waited_for(rig: Rig, waiting: list[Waits]) -> None:
    session = await rig.session()
    gate = await rig.result(session)
    made = await rig.submit(session, [spec("echo", n, inputs=[gate]) for n in range(200)])
    names = [ids.result_id(made, n) for n in range(200)]
    all_of_them = asyncio.ensure_future(wait(rig, *names, timeout=15))
    await wait_until(lambda: waiting)
    await rig.complete(gate, b"")
    assert (await all_of_them).done


async def test_time_passes(rig: Rig) -> None:
    session = await rig.session()
    one, two = await rig.result(session), await rig.result(session, b"2")
    for timeout in (0.0, 0.2):
        answer = await wait(rig, two, one, one, timeout=timeout)
        assert (answer.done, answer.states, answer.open) == (False, {two: "completed", one: "created"}, [one])
    for asked, user, kind, field in (
        ([one, uuid4()], "ann", NotFound, "results[1]"),
        ([one], "bob", NotFound, "results[0]"),
        ([], "ann", Invalid, "results"),
    ):
        with pytest.raises(kind) as raised:
            await wait(rig, *asked, user=user)
        assert raised.value.field == field
    with pytest.raises(Invalid):
        await wait(rig, one, timeout=31)


async def test_who_waits_keeps_nobody_out(rig: Rig, waiting: list[Waits]) -> None:
    """More of them than a process works on at a time."""
    session = await rig.session()
    one = await rig.result(session)
    many = [asyncio.ensure_future(wait(rig, one, timeout=15)) for _ in range(200)]
    await wait_until(lambda: len(waiting) == 200)
    here = waiting[0]
    assert here.sessions == {session}
    await rig.complete(one, b"")
    assert all(answer.done for answer in await asyncio.gather(*many))
    await wait_until(lambda: not here.sessions)


async def test_another_scheduler_ends_it(rig: Rig, waiting: list[Waits]) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(scheduler(rig.servers, rig.database, rig.storage))
        session = await rig.session()
        names = [await rig.result(session) for _ in range(20)]
        all_of_them = [asyncio.ensure_future(wait(rig, name, timeout=15)) for name in names]
        # Which process answers is the bus's choice: both have some who wait, and both end some of the results.
        await wait_until(lambda: len(waiting) == 20 and len({id(one) for one in waiting}) == 2)
        await asyncio.gather(*(rig.complete(name, b"") for name in names))
        assert all(answer.done for answer in await asyncio.gather(*all_of_them))
        # One that stops lets those go who wait at it.
        open = await rig.result(session)
        left = [asyncio.ensure_future(wait(rig, open, timeout=15)) for _ in range(20)]
        await wait_until(lambda: len(waiting) == 20)
        here = {id(one) for one in waiting}
        assert len(here) == 2
    await wait_until(lambda: len({id(one) for one in waiting}) == 1)
    await rig.complete(open, b"")
    answers = await asyncio.gather(*left)
    assert {answer.done for answer in answers} == {True, False}


async def test_one_users_waits_leave_the_others_places(rig: Rig, waiting: list[Waits]) -> None:
    result = await rig.result(await rig.session())
    mine = [asyncio.create_task(wait(rig, result)) for _ in range(waits.PLACES_OF_ONE)]
    await wait_until(lambda: len(waiting) == waits.PLACES_OF_ONE)
    with pytest.raises(RateLimited, match="at most 250 requests that wait for results of a user"):
        await wait(rig, result)
    theirs = await rig.ask("session.create", c.SessionCreate(["default"]), c.Session, user="bob")
    made = c.ResultCreate(theirs.id, [c.NewResult(data=b"there")])
    other = (await rig.ask("result.create", made, c.ResultList, user="bob")).results[0].id
    assert (await wait(rig, other, user="bob")).done
    await rig.complete(result, b"now")
    assert all(answer.done for answer in await asyncio.gather(*mine))


def test_a_thousand_ends_are_not_a_thousand_looks() -> None:
    names = [uuid4() for _ in range(1000)]
    all_of_them, any_of_them = Waiter(names, any=False), Waiter(names, any=True)
    for waiter in (all_of_them, any_of_them):
        waiter.end_read([{"id": name, "status": 1} for name in names])
    looks = 0
    for name in names:
        all_of_them.announce([name])
        looks += all_of_them.woken.is_set()
    assert looks == 1
    assert not all_of_them.done  # what is heard is not believed: it may be told twice, and late
    any_of_them.announce([names[7]])
    assert any_of_them.woken.is_set()


def test_what_is_heard_while_it_reads_is_not_lost() -> None:
    one, two = uuid4(), uuid4()
    waiter = Waiter([one, two], any=False)
    waiter.end_read([{"id": one, "status": 1}, {"id": two, "status": 1}])
    waiter.begin_read()
    waiter.announce([two])
    waiter.end_read([{"id": one, "status": 2}, {"id": two, "status": 1}])  # read before two had ended
    assert waiter.woken.is_set()
    waiter.begin_read()
    waiter.end_read([])  # their session is gone
    assert (waiter.done, waiter.states) == (True, {one: 2, two: 4})
