"""The states of a session's tasks and results, page by page, agree with its lists."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.scheduler.compute.lists import states
from shared.contracts import compute as c
from shared.contracts.errors import Invalid, NotFound
from tests.support.compute_rig import Rig, ids, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

Seen = dict[UUID, str]


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig:
        yield rig


@pytest.fixture(scope="module")
async def session(rig: Rig) -> UUID:
    """Submissions of 1, 30 and 4 tasks, some without outputs or with three, one not complete; results by themselves."""
    partition = await rig.partition()
    session = await rig.session(partition)
    for n in range(5):
        await rig.result(session, b"1" if n % 2 else None)
    await rig.submit(session, [spec(outputs=3)])
    await rig.submit(session, [spec(outputs=0)])
    await rig.submit(session, [spec(outputs=0) for _ in range(9)])
    await rig.submit(session, [spec(inputs=[f"@{n - 1}"] if n % 3 else []) for n in range(30)])
    await rig.submit(session, [spec(outputs=0) for _ in range(4)])
    await rig.chunk(session, ids.submission_id(), 0, 0, [spec()])
    return session


async def listed(rig: Rig, session: UUID) -> tuple[Seen, Seen]:
    tasks = await rig.ask("task.list", c.TaskQuery(session=session, size=1000), c.TaskPage)
    results = await rig.ask("result.list", c.ResultQuery(session=session, size=1000), c.ResultPage)
    return {one.id: one.status for one in tasks.items}, {one.id: one.status for one in results.items}


def flat(named: dict[str, list[UUID]], seen: Seen) -> int:
    for state, found in named.items():
        for one in found:
            assert one not in seen, "it stood on a page before"
            seen[one] = state
    return sum(len(found) for found in named.values())


@pytest.mark.parametrize("size", [1, 3, 4, 7, 45, 46, 8000])
async def test_pages_of_any_size_say_what_the_lists_say(
    rig: Rig, session: UUID, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "SIZE", size)

    async def agreed() -> tuple[Seen, Seen] | None:
        """Not while the dispatcher chooses some."""
        tasks: Seen = {}
        results: Seen = {}
        token, more = "", True
        while more:
            page = await rig.ask("session.states", c.StatesQuery(session, token), c.States)
            count = flat(page.tasks, tasks) + flat(page.results, results)
            token, more = page.next, bool(page.next)
            assert count == size if more else count <= size
        return (tasks, results) if (tasks, results) == await listed(rig, session) else None

    found = await wait_until(agreed, every=0.2)
    assert found is not None
    assert len(found[0]) == 45
    assert set(found[1].values()) == {"created", "completed"}


async def test_some_are_asked_for_by_name(rig: Rig, session: UUID) -> None:
    other = await rig.result(await rig.session(), b"2")

    async def agreed() -> list[UUID] | None:
        """Not while the dispatcher chooses some."""
        tasks, results = await listed(rig, session)
        some, few = list(tasks)[::7], list(results)[::3]
        asked = c.StatesQuery(session, tasks=[*some, uuid4()], results=[*few, other])
        page = await rig.ask("session.states", asked, c.States)
        seen: Seen = {}
        flat(page.tasks, seen)
        flat(page.results, seen)
        assert set(seen) == {*some, *few}
        assert not page.next
        return few if seen == {one: tasks[one] for one in some} | {one: results[one] for one in few} else None

    few = await wait_until(agreed, every=0.2)
    assert few is not None
    page = await rig.ask("session.states", c.StatesQuery(session, results=few[:1]), c.States)
    assert (page.tasks, sum(map(len, page.results.values()))) == ({}, 1)


async def test_whose_it_is_and_what_is_no_token(rig: Rig, session: UUID) -> None:
    with pytest.raises(NotFound):
        await rig.ask("session.states", c.StatesQuery(session), c.States, user="bob")
    for token in ("x", "tx", f"q{session}"):
        with pytest.raises(Invalid) as raised:
            await rig.ask("session.states", c.StatesQuery(session, token), c.States)
        assert raised.value.field == "token"


async def test_a_paused_sessions_ready_tasks_are_paused(rig: Rig) -> None:
    """As the lists say it, which derive it."""
    session = await rig.session(await rig.partition())
    id = await rig.submit(session, [spec(), spec(inputs=["@0"])])
    db = await asyncpg.connect(rig.database.url("scheduler"))
    await db.execute("UPDATE sessions SET status = 2 WHERE id = $1", session)
    await db.close()
    page = await rig.ask("session.states", c.StatesQuery(session), c.States)
    assert page.tasks == {"paused": [ids.task_id(id, 0)], "pending": [ids.task_id(id, 1)]}
