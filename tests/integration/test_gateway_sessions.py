"""Sessions over HTTP, from a gateway to a scheduler and its storage: what is refused, what is waited for, what is left behind."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.gateway.compute import removal
from shared.db.pool import open_pool
from shared.objects.layout import session_prefix
from shared.worker import App, Task
from tests.support.buckets import Bucket
from tests.support.compute_rig import Rig, open_rig
from tests.support.compute_sweep import sweep
from tests.support.gateway_rig import Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until

app = App()
LARGE = b"L" * 65536
ILLEGAL = [
    ("running", ["purge"]),
    ("paused", ["pause", "purge"]),
    ("closed", ["pause", "resume", "close"]),
    ("cancelled", ["pause", "resume", "close", "cancel"]),
    ("purged", ["pause", "resume", "close", "cancel", "purge"]),
]
"""What each state refuses."""
LED = {"pause": "PAUSED", "resume": "RUNNING", "close": "CLOSED", "cancel": "CANCELLED", "purge": "PURGED"}
THERE = {
    "running": [],
    "paused": ["pause"],
    "closed": ["close"],
    "cancelled": ["cancel"],
    "purged": ["cancel", "purge"],
}
"""The verbs that lead to a state."""
OWNERS = {"session": "sessions", "submission": "submissions", "task": "tasks"}
"""Columns that name what a row belongs to, and where that is."""


@app.function
async def blob(task: Task) -> bytes:
    print("a line that is kept")
    return LARGE


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[Rig]:
    async with open_rig(servers) as rig, rig.worker(app):
        yield rig


@pytest.fixture(scope="module")
async def edge(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    bucket = Bucket(**{name: getattr(rig.storage, name) for name in Bucket.__struct_fields__})  # the scheduler's
    folder = tmp_path_factory.mktemp("gateway")
    async with running(rig.servers, rig.database, bucket, folder, stand_in=False) as started:
        yield started


@pytest.fixture
async def admin(rig: Rig) -> AsyncIterator["asyncpg.Connection[Any]"]:
    db = await asyncpg.connect(rig.database.admin_url, server_settings={"search_path": "scheduler"})
    yield db
    await db.close()


def at(session: object, verb: str = "") -> str:
    return f"/compute/v1/sessions/{session}" + (f"/{verb}" if verb else "")


async def opened(http: httpx.AsyncClient, **body: Any) -> UUID:
    answer = await http.post("/compute/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


async def lead(http: httpx.AsyncClient, session: UUID, *verbs: str) -> None:
    for verb in verbs:
        answer = await http.post(at(session, verb))
        assert answer.status_code == 200, answer.text


async def filled(http: httpx.AsyncClient, **body: Any) -> UUID:
    """A session with a value in storage, one in its row, a task that has ended, and one that waits."""
    session = await opened(http, **body)
    small = base64.b64encode(b"s").decode()
    wanted = {"results": [{"name": "large"}, {"name": "small", "data": small}, {"name": "never"}]}
    made = (await http.post(at(session, "results"), json=wanted)).json()["results"]
    large, _, never = (one["id"] for one in made)
    assert (await http.put(f"/compute/v1/results/{large}/data", content=LARGE)).status_code == 200
    options = {"function": "blob"}
    tasks = [{"inputs": [large], "options": options}, {"inputs": [never], "options": options}]
    assert (await http.post(at(session, "submissions"), json={"tasks": tasks})).status_code == 201

    async def ran() -> bool:
        return bool((await http.get(at(session))).json()["tasks"]["completed"] == 1)

    await wait_until(ran)
    return session


async def states(http: httpx.AsyncClient, session: UUID) -> tuple[str, list[str]]:
    """The session's, and its results', in order."""
    results = (await http.get(at(session, "results"))).json()["items"]
    return (await http.get(at(session))).json()["status"], sorted(one["status"] for one in results)


async def stored(rig: Rig, session: UUID) -> int:
    """Objects of a session."""
    return len([one async for one in rig.objects.list(session_prefix(session))])


async def left(rig: Rig, admin: "asyncpg.Connection[Any]", session: UUID) -> dict[str, int]:
    """What is left of a session, rows by table and objects; and rows that belong to a submission or a task that is gone."""
    found = {
        "sessions": await admin.fetchval("SELECT count(*) FROM sessions WHERE id = $1", session),
        "objects": await stored(rig, session),
    }
    for table, column in await admin.fetch(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = 'scheduler'::regnamespace AND c.relkind = 'r' AND a.attname = ANY($1)",
        list(OWNERS),
    ):
        its = f"{column} = $1 OR NOT EXISTS (SELECT 1 FROM {OWNERS[column]} o WHERE o.id = {column})"
        found[table] = found.get(table, 0) + await admin.fetchval(f"SELECT count(*) FROM {table} WHERE {its}", session)
    return {name: n for name, n in found.items() if n}


# -- refused


async def test_what_a_state_does_not_allow_is_a_conflict_that_names_both_states(edge: Gateway) -> None:
    for state, refused in ILLEGAL:
        session = await opened(edge.http)
        await lead(edge.http, session, *THERE[state])
        before = (await edge.http.get(at(session))).json()
        assert before["status"] == state
        for verb in refused:
            answer = await edge.http.post(at(session, verb))
            problem = answer.json()
            case = f"{verb} of a session that is {state}: {answer.text}"
            assert (answer.status_code, problem["code"]) == (409, "failed_precondition"), case
            assert answer.headers["content-type"] == "application/problem+json", case
            assert {state.upper(), LED[verb], str(session)} <= set(
                problem["detail"].replace(";", " ").replace(",", " ").split()
            ), case
        assert (await edge.http.get(at(session))).json() == before


async def test_a_session_that_there_is_not_or_that_is_anothers_is_not_found(edge: Gateway, rig: Rig) -> None:
    mine = await filled(edge.http)
    before = await states(edge.http, mine)
    async with await edge.user("walter") as walter, await edge.user("vera", "operator") as vera:
        verbs: list[tuple[str, str, Any]] = [("POST", verb, {}) for verb in LED]
        verbs += [("POST", "stop-submission", {"client": True}), ("DELETE", "", None), ("GET", "", None)]
        for method, verb, body in verbs:
            for http, session in ((edge.http, uuid4()), (walter, mine)):
                answer = await http.request(method, at(session, verb), json=body)
                assert (answer.status_code, answer.json()["field"]) == (404, "session"), f"{verb}: {answer.text}"
            if method != "GET":  # operators look, and change nothing
                answer = await vera.request(method, at(mine, verb), json=body)
                assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied"), (
                    f"{verb}: {answer.text}"
                )
    assert await states(edge.http, mine) == before
    assert (await edge.http.get(at(mine))).json()["client_submission"]


@pytest.mark.parametrize("ttl", ["-1", "0", "0.5", "315360001", "1e300", '"soon"', "true"])
async def test_a_time_to_live_that_is_none_is_refused(edge: Gateway, ttl: str) -> None:
    answer = await edge.http.post("/compute/v1/sessions", content=f'{{"ttl": {ttl}, "name": "mortal {ttl[0]}"}}')
    assert (answer.status_code, answer.json()["field"]) == (400, "ttl"), answer.text
    sessions = (await edge.http.get("/compute/v1/sessions", params={"size": 1000})).json()["items"]
    assert not [one for one in sessions if one["name"].startswith("mortal")]


async def test_the_purge_of_a_running_session_deletes_nothing(edge: Gateway, rig: Rig) -> None:
    session = await filled(edge.http)
    before = await states(edge.http, session)
    assert before == ("running", ["completed"] * 3 + ["created"] * 2)
    assert (await edge.http.post(at(session, "purge"))).status_code == 409
    assert (await states(edge.http, session), await stored(rig, session)) == (before, 2)
    assert (await edge.http.get(at(session))).json()["operation"] == ""


# -- waited for


async def test_a_delete_answers_when_nothing_is_left(edge: Gateway, rig: Rig, admin: Any) -> None:
    session, other = await filled(edge.http), await filled(edge.http)
    assert {"sessions", "submissions", "tasks", "results", "objects"} <= set(await left(rig, admin, session))
    answer = await edge.http.delete(at(session))
    assert (answer.status_code, answer.json()["id"], answer.json()["status"]) == (200, str(session), "deleted")
    assert await left(rig, admin, session) == {}
    for again in (await edge.http.get(at(session)), await edge.http.delete(at(session))):
        assert (again.status_code, again.json()["field"]) == (404, "session")
    assert (await states(edge.http, other), await stored(rig, other)) == (
        ("running", ["completed"] * 3 + ["created"] * 2), 2
    )  # fmt: skip


async def test_a_purge_that_takes_longer_than_a_client_may_wait_is_accepted(
    edge: Gateway, rig: Rig, admin: "asyncpg.Connection[Any]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "PATIENCE", 0.2)
    session = await filled(edge.http)
    await lead(edge.http, session, "close")
    async with admin.transaction():
        await admin.fetch("SELECT 1 FROM results WHERE session = $1 FOR UPDATE", session)
        first, second = await asyncio.gather(*(edge.http.post(at(session, "purge")) for _ in range(2)))
        assert (first.status_code, first.json()["status"], second.status_code) == (202, "closed", 202)
        assert first.json()["operation"] == second.json()["operation"] != ""

    async def purged() -> bool:
        return (await states(edge.http, session)) == ("purged", ["deleted"] * 5)

    await wait_until(purged)
    assert (await edge.http.get(at(session))).json()["operation"] == ""
    assert await stored(rig, session) == 0


# -- said twice


async def test_under_the_same_key_a_verb_acts_once(edge: Gateway, rig: Rig) -> None:
    session, other = await opened(edge.http), await opened(edge.http)

    async def say(verb: str, key: str, session: UUID = session) -> httpx.Response:
        return await edge.http.post(at(session, verb), headers={"Idempotency-Key": key})

    for verb, came in (("pause", "paused"), ("cancel", "cancelled"), ("purge", "purged")):
        first, again = await say(verb, verb), await say(verb, verb)
        assert (first.status_code, first.json()["status"]) == (200, came), first.text
        assert (again.status_code, again.json()) == (200, first.json()), again.text
        version = (await edge.http.get(at(session))).json()["version"]
        assert version == first.json()["version"]
        assert (await say(verb, f"another-{verb}")).status_code == 409  # said anew, it is not possible
        misused = await say(verb, verb, other)
        assert (misused.status_code, misused.json()["field"]) == (409, "Idempotency-Key"), misused.text
    assert (await edge.http.get(at(other))).json()["status"] == "running"
    assert [len(rig.received(f"hr.evt.session.{what}.{session}")) for what in ("paused", "cancelled", "purged")] == [
        1,
        1,
        1,
    ]
    for _ in range(2):
        gone = await edge.http.delete(at(session), headers={"Idempotency-Key": "away"})
        assert (gone.status_code, gone.json()["status"]) == (200, "deleted")


# -- time to live


async def test_a_session_whose_time_is_over_leaves_nothing(edge: Gateway, rig: Rig, admin: Any) -> None:
    mortal, other = await filled(edge.http, ttl=1), await filled(edge.http, ttl=3600)
    seen = (await edge.http.get(at(other))).json()
    assert seen["expires_at"] > seen["created_at"]
    async with await open_pool(rig.database.url("scheduler"), "scheduler") as pool:
        swept = sweep(rig, pool)

        async def gone() -> bool:
            await swept.run_once()
            return await left(rig, admin, mortal) == {}

        await wait_until(gone, every=0.2, on_timeout=lambda: left(rig, admin, mortal))
    assert (await edge.http.get(at(mortal))).status_code == 404
    assert (await edge.http.get(at(other))).json()["status"] == "running"
    assert await stored(rig, other) == 2
