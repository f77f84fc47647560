"""Values of results: checked, kept, imported, deleted. On a real scheduler, with real object storage."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from services.scheduler.compute.results.orphaned_objects import OrphanedObjects
from shared.contracts import compute as c
from shared.contracts import headers as h
from shared.contracts import ids, subjects
from shared.contracts.errors import Conflict, HeadraceError, Invalid, NotFound
from shared.contracts.events import CommandDone
from shared.contracts.topology import MESSAGE_LIMIT
from shared.contracts.work import Inputs, InputsOf
from shared.db.pool import open_pool
from shared.objects.layout import result_key
from shared.worker import App, Task
from tests.support.compute_rig import Rig, open_rig, spec
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
GATE = asyncio.Event()


@app.function
async def join(task: Task) -> bytes:
    return b"|".join(task.inputs)


@app.function
async def large(task: Task) -> bytes:
    return b"x" * task.payload


@app.function
async def hold(task: Task) -> bytes:
    await GATE.wait()
    return b"held"


@app.function
async def digest(task: Task) -> str:
    """Of all inputs, in their order."""
    return f"{len(task.inputs)} {sha256(b'|'.join(task.inputs))}"


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app, slots=8):
        yield rig


@pytest.fixture
async def pool(rig: Rig) -> AsyncIterator["asyncpg.Pool[Any]"]:
    async with await open_pool(rig.database.url("scheduler"), "scheduler") as pool:
        yield pool


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def get(rig: Rig, result: UUID) -> c.Result:
    return await rig.ask("result.get", c.ResultRef(result), c.Result)


async def created(rig: Rig, session: UUID, *results: c.NewResult) -> list[c.Result]:
    return (await rig.ask("result.create", c.ResultCreate(session, list(results)), c.ResultList)).results


async def imported(rig: Rig, session: UUID, *objects: tuple[UUID, str]) -> list[c.Result]:
    asked = c.ResultImport(session, [c.Import(*one) for one in objects])
    return (await rig.ask("result.import", asked, c.ResultList)).results


async def deleted(rig: Rig, session: UUID, *results: UUID, user: str = "ann") -> list[c.Result]:
    asked = c.ResultDelete(session, list(results))
    return (await rig.ask("result.delete", asked, c.ResultList, user=user)).results


async def refused(kind: type[HeadraceError], call: Any, field: str, said: str = ".") -> None:
    with pytest.raises(kind, match=said) as raised:
        await call
    assert raised.value.field == field


async def stored(rig: Rig, session: UUID, result: UUID, data: bytes) -> str:
    """A value in object storage, as the gateway leaves it."""
    key = result_key(session, result)
    kept = await rig.objects.put(key, data)
    asked = c.ResultComplete(result, object=key, size=kept.size, sha256=kept.sha256)
    await rig.ask("result.complete", asked, c.Result)
    return key


# -- checksums


async def test_a_checksum_is_kept_and_one_that_is_said_is_checked(rig: Rig) -> None:
    session = await rig.session()
    good, bad = sha256(b"value"), sha256(b"other")
    with_data, named, empty = await created(
        rig, session, c.NewResult(data=b"value", sha256=good), c.NewResult("named", data=b"other"), c.NewResult()
    )
    assert (with_data.checksum, named.checksum, empty.checksum) == (good, bad, "")
    wrong = c.ResultCreate(session, [c.NewResult(data=b"value"), c.NewResult("lost", data=b"value", sha256=bad)])
    await refused(Invalid, rig.ask("result.create", wrong, c.ResultList), "results[1].sha256", good)
    await refused(
        Invalid, created(rig, session, c.NewResult(sha256=good)), "results[0].sha256", "no value that it could be of"
    )
    page = await rig.ask("result.list", c.ResultQuery(session=session, name="lost"), c.ResultPage)
    assert page.items == []  # nothing of the request is there
    page = await rig.ask("result.list", c.ResultQuery(session=session, name="named"), c.ResultPage)
    assert [one.id for one in page.items] == [named.id]

    mismatch = c.ResultComplete(empty.id, data=b"value", sha256=bad)
    await refused(Invalid, rig.ask("result.complete", mismatch, c.Result), "sha256", good)
    assert (await get(rig, empty.id)).status == "created"
    done = await rig.ask("result.complete", c.ResultComplete(empty.id, data=b"value", sha256=good), c.Result)
    assert (done.status, done.checksum) == ("completed", good)
    value = await rig.ask("result.value", c.ResultRef(empty.id), c.Value)
    assert (value.data, value.checksum) == (b"value", good)


async def test_checksums_of_what_tasks_make(rig: Rig) -> None:
    """Of objects the worker says it, of what lies in the row it can always be told."""
    session = await rig.session()
    id = await rig.submit(session, [spec("large", 100_000), spec("large", 16_384)])
    assert (await rig.all_ended(session)).completed == 2
    for line, size in ((0, 100_000), (1, 16_384)):
        made = await get(rig, ids.result_id(id, line))
        assert (made.size, made.checksum, made.owned) == (size, sha256(b"x" * size), True)
        value = await rig.ask("result.value", c.ResultRef(made.id), c.Value)
        assert value.checksum == made.checksum


# -- who gives a value


async def test_of_two_that_give_a_value_at_once_one_wins(rig: Rig) -> None:
    session = await rig.session()
    for _ in range(5):
        result = await rig.result(session)
        waiting = await rig.submit(session, [spec("join", inputs=[result])])
        answers = await asyncio.gather(
            *(rig.complete(result, value) for value in (b"one", b"two", b"three")), return_exceptions=True
        )
        won = [one for one in answers if isinstance(one, c.Result)]
        lost = [one for one in answers if isinstance(one, Conflict)]
        assert (len(won), len(lost)) == (1, 2)
        await rig.until(ids.task_id(waiting, 0), "completed")
        assert sha256(await rig.value(ids.result_id(waiting, 0))) == won[0].checksum


async def test_a_session_that_ends_meanwhile_takes_no_value(rig: Rig, pool: Any) -> None:
    """The guard: who ends the session holds its row, and whoever comes then sees what became of it."""
    session = await rig.session()
    result, other = await rig.result(session), await rig.result(session)
    await rig.objects.put("shared/late", b"late")
    async with pool.acquire() as db:
        ending = db.transaction()
        await ending.start()
        await db.execute("UPDATE sessions SET status = 4 WHERE id = $1", session)
        late = [
            asyncio.ensure_future(rig.complete(result, b"late")),
            asyncio.ensure_future(imported(rig, session, (other, "shared/late"))),
            asyncio.ensure_future(rig.result(session)),
        ]

        async def all_wait() -> bool:
            asked = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            return bool(await pool.fetchval(asked) == 3)

        await wait_until(all_wait)
        await ending.commit()
    for one in late:
        with pytest.raises(Conflict):
            await one
    assert [(await get(rig, one)).status for one in (result, other)] == ["created", "created"]


@pytest.mark.parametrize("verbs", [["close"], ["cancel"], ["close", "purge"], ["cancel", "purge"], ["delete"]])
async def test_a_session_that_has_ended_takes_no_value(rig: Rig, verbs: list[str]) -> None:
    """Nor does it keep what is its own, once it is purged; what was imported stays."""
    session = await rig.session()
    open, full, foreign, other = [await rig.result(session) for _ in range(4)]
    key = await stored(rig, session, full, b"u" * 20_000)
    await rig.objects.put("shared/of-others", b"others", if_absent=False)
    await imported(rig, session, (foreign, "shared/of-others"))
    for verb in verbs:
        await rig.ask(f"session.{verb}", c.SessionRef(session), c.Session)

    async def is_gone() -> bool:
        try:
            seen = await rig.ask("session.get", c.SessionGet(session), c.Session)
        except NotFound:
            return True
        return seen.status == "purged"

    if verbs[-1] in ("purge", "delete"):
        await wait_until(is_gone)
        assert await rig.objects.head(key) is None
    kind = NotFound if "delete" in verbs else Conflict
    for late in (
        rig.complete(open, b"late"),
        rig.ask("result.complete", c.ResultComplete(open, object=result_key(session, open), size=1), c.Result),
        imported(rig, session, (other, "shared/of-others")),
        rig.result(session),
    ):
        with pytest.raises(kind):
            await late
    assert await rig.objects.read("shared/of-others", limit=10) == b"others"


# -- import


async def test_objects_that_are_there_become_values(rig: Rig) -> None:
    session = await rig.session()
    values = {f"shared/night/{n}.fits": bytes([n]) * (n * 1000) for n in range(12)}
    for key, value in values.items():
        await rig.objects.put(key, value)
    results = [one.id for one in await created(rig, session, *([c.NewResult()] * 12))]
    results.reverse()
    waiting = await rig.submit(session, [spec("join", inputs=results[:3])])
    asked = list(zip(results, values, strict=True))
    done = await imported(rig, session, *asked)
    assert [one.id for one in done] == results
    for one, (key, value) in zip(done, values.items(), strict=True):
        assert (one.status, one.opaque, one.size, one.owned) == ("completed", key, len(value), False)
        assert one.checksum in ("", sha256(value))
    await rig.until(ids.task_id(waiting, 0), "completed")
    assert await rig.value(ids.result_id(waiting, 0)) == b"|".join(list(values.values())[:3])
    assert await imported(rig, session, *asked) == done  # again: harmless
    assert set(rig.framed(session, "results")) >= set(results)


async def test_an_import_is_whole_or_not_at_all(rig: Rig) -> None:
    session = await rig.session()
    await rig.objects.put("shared/there", b"there")
    await rig.objects.put("private/there", b"private")
    one, two, full = await rig.result(session), await rig.result(session), await rig.result(session, b"full")
    there = (one, "shared/there")
    produced = ids.result_id(await rig.submit(session, [spec("join", inputs=[two])]), 0)
    others = await rig.result(await rig.session(user="ann"))
    for second, kind, field in (
        ((two, "shared/missing"), NotFound, "objects[1].object"),
        ((two, "private/there"), Invalid, "objects[1].object"),
        ((two, "shared"), Invalid, "objects[1].object"),
        ((two, "sharedthere"), Invalid, "objects[1].object"),
        ((two, "shared/../private/there"), Invalid, "objects[1].object"),
        ((two, "/shared/there"), Invalid, "objects[1].object"),
        ((two, "shared/a\nb"), Invalid, "objects[1].object"),
        ((two, "shared//there"), Invalid, "objects[1].object"),
        ((full, "shared/there"), Conflict, "objects[1].result"),
        ((produced, "shared/there"), Conflict, "objects[1].result"),
        ((others, "shared/there"), NotFound, "objects[1].result"),
        ((uuid4(), "shared/there"), NotFound, "objects[1].result"),
        ((one, "shared/there"), Invalid, "objects[1].result"),
    ):
        await refused(kind, imported(rig, session, there, second), field)
    assert [(await get(rig, name)).status for name in (one, two)] == ["created", "created"]
    asked = c.ResultImport(session, [c.Import(*there)])
    with pytest.raises(NotFound):
        await rig.ask("result.import", asked, c.ResultList, user="bob")


async def test_an_import_by_a_durable_command_twice_delivered_acts_once(rig: Rig) -> None:
    session = await rig.session()
    result = await rig.result(session)
    await rig.objects.put("shared/commanded", b"commanded")
    asked = c.ResultImport(session, [c.Import(result, "shared/commanded")])
    subject = subjects.command("ann", "scheduler", "result", "import")
    for _ in range(2):
        ack = await rig.bus.publish(subject, asked, headers={h.IDEMPOTENCY_KEY: f"k{session}"})
        outcome = subjects.event("command", "done", ack.seq)
        await wait_until(lambda received=outcome: rig.received(received))
        reply = msgspec.json.decode(rig.received(outcome)[-1], type=CommandDone).reply
        assert msgspec.json.decode(reply, type=c.ResultList).results[0].status == "completed"
    assert rig.framed(session, "results").count(result) == 1


# -- delete


async def test_a_deleted_value_is_gone_and_an_imported_object_stays(rig: Rig) -> None:
    session = await rig.session()
    large, inline, foreign = [await rig.result(session) for _ in range(3)]
    key = await stored(rig, session, large, b"u" * 70_000)
    await rig.complete(inline, b"small")
    await rig.objects.put("shared/stays", b"stays")
    await imported(rig, session, (foreign, "shared/stays"))
    names = (foreign, large, inline)
    for _ in range(2):  # twice is harmless
        gone = await deleted(rig, session, *names)
        assert [(one.id, one.status, one.opaque) for one in gone] == [(name, "deleted", "") for name in names]

        async def removed() -> bool:
            return await rig.objects.head(key) is None

        await wait_until(removed)
    assert await rig.objects.read("shared/stays", limit=10) == b"stays"
    assert sorted(rig.framed(session, "deleted")) == sorted(names)
    for name in names:
        with pytest.raises(Conflict, match="DELETED"):
            await rig.value(name)
        with pytest.raises(Conflict, match="DELETED"):
            await rig.complete(name, b"anew")
    with pytest.raises(Conflict, match="DELETED"):
        await rig.submit(session, [spec("join", inputs=[large])])


async def test_what_a_task_still_needs_is_not_deleted(rig: Rig) -> None:
    session = await rig.session()
    given, payload, free = await rig.result(session, b"a"), await rig.result(session, b"3"), await rig.result(session)
    await rig.complete(free, b"free")
    later = await rig.result(session)
    first = await rig.submit(session, [spec("join", inputs=[given, later])])
    second = await rig.submit(
        session, [c.TaskSpec(payload_result=str(payload), inputs=[str(later)], options=c.Options(function="join"))]
    )
    chunk = ids.submission_id()  # not even visible yet
    await rig.chunk(session, chunk, 0, 0, [spec("join", inputs=[free])])
    for needed, task in ((given, ids.task_id(first, 0)), (payload, ids.task_id(second, 0)), (free, chunk)):
        await refused(Conflict, deleted(rig, session, needed), "results[0]", str(task))
    await refused(Conflict, deleted(rig, session, ids.result_id(first, 0)), "results[0]", "produced by task")
    await refused(NotFound, deleted(rig, session, given, uuid4()), "results[1]")
    await refused(NotFound, deleted(rig, session, given, user="bob"), "session")
    assert (await get(rig, given)).status == "completed"
    await rig.complete(later, b"b")
    await rig.until(ids.task_id(first, 0), "completed")
    assert (await deleted(rig, session, given))[0].status == "deleted"
    assert await rig.value(ids.result_id(first, 0)) == b"a|b"


async def test_a_submission_and_a_deletion_at_once_agree(rig: Rig) -> None:
    """Either the task counts and nothing is deleted, or the submission hears that its input is gone."""
    GATE.clear()
    session = await rig.session()
    for _ in range(10):
        given = await rig.result(session, b"given")
        submitting = rig.submit(session, [spec("hold", inputs=[given])])
        made, gone = await asyncio.gather(submitting, deleted(rig, session, given), return_exceptions=True)
        assert isinstance(made, Conflict) != isinstance(gone, Conflict), (made, gone)
        assert (await get(rig, given)).status == ("deleted" if isinstance(made, Conflict) else "completed")
    GATE.set()


async def test_what_waits_for_a_deleted_result_fails(rig: Rig) -> None:
    session = await rig.session()
    never = await rig.result(session)
    id = await rig.submit(session, [spec("join", inputs=[never]), spec("join", inputs=["@0"])])
    for _ in range(2):
        assert (await deleted(rig, session, never))[0].status == "deleted"
    first = await rig.until(ids.task_id(id, 0), "error")
    assert "deleted" in first.error
    await rig.until(ids.task_id(id, 1), "error")
    assert await rig.result_status(ids.result_id(id, 1)) == "aborted"
    assert (await deleted(rig, session, ids.result_id(id, 1)))[0].status == "deleted"


async def test_a_kill_between_the_deletion_and_the_removal_leaves_no_object(
    rig: Rig, pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(self: OrphanedObjects) -> None:
        pass

    monkeypatch.setattr(OrphanedObjects, "wake", killed)
    session = await rig.session()
    result = await rig.result(session)
    key = await stored(rig, session, result, b"u" * 20_000)
    await deleted(rig, session, result)
    assert await rig.objects.head(key) is not None
    assert await pool.fetchval("SELECT count(*) FROM orphaned_objects") == 1

    class Dies:
        """Removes the object, and is killed before it says so."""

        async def delete(self, keys: Any) -> None:
            await rig.objects.delete(keys)
            raise asyncio.CancelledError

    half: Any = Dies()
    with pytest.raises(asyncio.CancelledError):
        await OrphanedObjects(pool, half).run_once()
    assert await rig.objects.head(key) is None
    assert await OrphanedObjects(pool, rig.objects).run_once() == 1  # once more is harmless
    assert await pool.fetchval("SELECT count(*) FROM orphaned_objects") == 0


# -- more inputs than a line has room for


async def filled(rig: Rig, session: UUID, many: int) -> list[UUID]:
    """So many results with values: their numbers."""
    made = []
    for first in range(0, many, 1000):
        new = [c.NewResult(data=b"%d" % n) for n in range(first, first + 1000)]
        asked = c.ResultCreate(session, new)
        made += [one.id for one in (await rig.ask("result.create", asked, c.ResultList)).results]
    return made


@pytest.mark.parametrize("way", ["request", "chunk"])
async def test_a_list_that_a_result_holds_is_a_tasks_inputs(rig: Rig, way: str) -> None:
    session, many = await rig.session(), 15_000
    made = [str(one) for one in reversed(await filled(rig, session, many))]
    value = msgspec.json.encode(made[1:])
    assert len(value) > MESSAGE_LIMIT, "it would not fit a line"
    listed = ids.uuid7()
    key = (await rig.objects.put(result_key(session, listed), value)).key
    await rig.result(session, id=listed, object=key, size=len(value))
    task = spec("digest", inputs=made[:1], inputs_from=listed)
    if way == "request":
        id = await rig.submit(session, [task])
    else:
        id = ids.submission_id()
        await rig.chunk(session, id, 0, 0, [task], last=True)
    await rig.until(ids.task_id(id, 0), "completed")
    expected = sha256(b"|".join(b"%d" % n for n in reversed(range(many))))
    assert await rig.value(ids.result_id(id, 0)) == msgspec.json.encode(f"{many} {expected}")
    start, pages, seen = 0, 0, []
    while start is not None:
        page = await rig.ask("task.inputs", InputsOf(ids.task_id(id, 0), start), Inputs, user="")
        seen += [str(value.id) for value in page.values]
        start, pages = page.more, pages + 1  # type: ignore[assignment]
    assert (seen, pages) == (made, 15)


async def test_a_page_of_inputs_ends_where_the_reply_is_full(rig: Rig) -> None:
    session = await rig.session()
    large = [await rig.result(session, b"%d" % n * 16_000) for n in range(3)]
    id = await rig.submit(session, [spec("digest", inputs=large * 20)])
    start, sizes = 0, []
    while start is not None:
        page = await rig.ask("task.inputs", InputsOf(ids.task_id(id, 0), start), Inputs, user="")
        sizes.append(len(page.values))
        assert [value.id for value in page.values] == (large * 20)[start : start + sizes[-1]]
        start = page.more  # type: ignore[assignment]
    assert sizes == [24, 24, 12]


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, Conflict, "is CREATED: a list of inputs has to be there"),
        (b"not JSON", Invalid, "is not a JSON list of texts"),
        (b'["@0", 7]', Invalid, "is not a JSON list of texts.*1"),
        (b'{"a": 1}', Invalid, "is not a JSON list of texts"),
        (b"", Invalid, "is not a JSON list of texts"),
        ("of another session", NotFound, "there is no result"),
    ],
)
async def test_what_is_no_list_of_inputs_is_refused_with_its_place(
    rig: Rig, value: Any, kind: type[HeadraceError], text: str
) -> None:
    session = await rig.session()
    if isinstance(value, str):
        listed = await rig.result(await rig.session(), b"[]")
    else:
        listed = await rig.result(session, value)
    lines = [spec(), spec(inputs_from=listed)]
    chunk = rig.chunk(session, ids.submission_id(), 0, 0, lines, last=True)
    for sent in (rig.submit(session, lines), chunk):
        with pytest.raises(kind, match=text) as caught:
            await sent
        assert caught.value.field == "tasks[1].inputs_from"  # type: ignore[attr-defined]


async def test_a_repeat_needs_no_list_any_more(rig: Rig) -> None:
    session = await rig.session()
    listed, id = await rig.result(session, b"[]"), ids.submission_id()
    await rig.chunk(session, id, 0, 0, [spec("digest", inputs_from=listed)], last=True)
    await rig.until(ids.task_id(id, 0), "completed")
    await rig.ask("result.delete", c.ResultDelete(session, [listed]), c.ResultList)
    again = await rig.chunk(session, id, 0, 0, [spec("digest", inputs_from=listed)], last=True)
    assert again.id == id
