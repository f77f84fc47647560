"""The edge with a real scheduler behind it: lists and counts over HTTP, long submissions, and bodies that are wrong or cut off."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from shared.contracts import ids
from shared.worker import App, Task
from tests.support.buckets import new_bucket
from tests.support.compute_rig import Rig, open_rig
from tests.support.gateway_rig import TOKEN, Gateway, running
from tests.support.servers import Servers
from tests.support.wait import wait_until

NDJSON = {"Content-Type": "application/x-ndjson"}
ROOT = "/compute/v1"
app = App()


@app.function
async def note(task: Task) -> Any:
    return {"got": task.payload, "by": None if task.application is None else task.application.version}


@app.function(name="Night Survey")
async def survey(task: Task) -> Any:
    return [task.application.name, task.application.namespace] if task.application else None


@app.function
async def fail(task: Task) -> None:
    raise RuntimeError("disk on fire")


class Edge:
    """`rig`: the scheduler; `http`: a client of the edge, as the admin."""

    def __init__(self, rig: Rig, gateway: Gateway) -> None:
        self.rig, self.gateway, self.http = rig, gateway, gateway.http

    async def post(self, path: str, body: Any, status: int = 201) -> Any:
        answer = await self.http.post(f"{ROOT}{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = await self.http.get(f"{ROOT}{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def session(self, *partitions: str, **options: Any) -> str:
        asked = {"partitions": list(partitions) or ["default"], "options": options}
        return str((await self.post("/sessions", asked))["id"])

    async def ended(self, session: str) -> None:
        """Waits until every task of a session has ended."""

        async def over() -> bool:
            found = (await self.get(f"/sessions/{session}"))["tasks"]
            return bool(found["total"] == found["completed"] + found["failed"])

        await wait_until(over)

    async def value(self, result: UUID) -> Any:
        return await self.get(f"/results/{result}/data")

    async def rows(self, session: str) -> dict[str, int]:
        """What the tables hold of a session beside its own row, and results made by themselves."""
        admin = await asyncpg.connect(self.rig.database.admin_url, server_settings={"search_path": "scheduler"})
        try:
            found = {
                "tasks": "SELECT count(*) FROM tasks WHERE session = $1",
                "outputs": "SELECT count(*) FROM results WHERE session = $1 AND NOT standalone",
                "claimed": "SELECT count(*) FROM results WHERE session = $1 AND owner IS NOT NULL",
                "lanes": "SELECT count(*) FROM lanes WHERE session = $1",
                "shown": "SELECT count(*) FROM submissions WHERE session = $1 AND status = 2",
                "edges": "SELECT count(*) FROM dependencies d WHERE d.task IN (SELECT id FROM tasks WHERE session = $1)"
                " OR d.result IN (SELECT id FROM results WHERE session = $1)",
                "chunks": "SELECT count(*) FROM chunks JOIN submissions s ON s.id = submission WHERE session = $1",
            }
            return {name: await admin.fetchval(query, UUID(session)) for name, query in found.items()}
        finally:
            await admin.close()


@pytest.fixture(scope="module")
async def edge(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("edge")
    async with (
        open_rig(servers) as rig,
        new_bucket(servers) as bucket,
        running(servers, rig.database, bucket, folder, stand_in=False) as gateway,
        rig.worker(app),
    ):
        yield Edge(rig, gateway)


async def headrace(edge: Edge, *arguments: str) -> tuple[int, str, str]:
    """Runs the command as a user would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.client.cli", *arguments),
        env={"HEADRACE_HTTP_URL": edge.gateway.url, "HEADRACE_TOKEN": TOKEN, "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_lists_counts_outputs_and_attempts(edge: Edge) -> None:
    session = await edge.session(function="note")
    tasks: list[Any] = [
        {"payload": n, "options": {"priority": n + 1, "labels": {"night": f"n{n % 2}"}}} for n in range(6)
    ]
    tasks += [{"options": {"function": "fail"}, "outputs": 2}]
    submission = UUID((await edge.post(f"/sessions/{session}/submissions", {"tasks": tasks}))["id"])
    await edge.ended(session)
    odd = [{"field": "labels.night", "value": "n1"}, {"field": "priority", "op": ">", "value": 2}]
    failed = [{"field": "status", "value": "error"}, {"field": "error", "op": "contains", "value": "fire"}]
    where = json.dumps([odd, failed])
    page = await edge.get(f"/sessions/{session}/tasks", where=where, sort="-priority", size=2)
    assert [one["priority"] for one in page["items"]] == [6, 4]
    page = await edge.get(f"/sessions/{session}/tasks", where=where, sort="-priority", size=2, token=page["next"])
    assert [(one["priority"], one["status"]) for one in page["items"]] == [(1, "error")]
    assert page["next"] == ""
    counts = await edge.get(f"/sessions/{session}/tasks/count")
    assert (counts["total"], counts["counts"]) == (7, {"completed": 6, "error": 1})
    assert (await edge.get(f"/sessions/{session}/tasks/count", where=json.dumps([odd])))["total"] == 2
    names = [str(ids.task_id(submission, line)) for line in (6, 0)]
    outputs = await edge.post("/tasks/outputs", {"tasks": names}, 200)
    assert outputs["items"] == [
        {"task": names[0], "outputs": [str(ids.result_id(submission, 6, k)) for k in range(2)]},
        {"task": names[1], "outputs": [str(ids.result_id(submission, 0))]},
    ]
    assert outputs["left"] == 0
    unknown = str(uuid4())
    assert (await edge.post("/tasks/outputs", {"tasks": [names[0], unknown]}, 404))["field"] == "tasks[1]"
    assert (await edge.post("/tasks/outputs", {"tasks": []}, 400))["field"] == "tasks"
    [attempt] = (await edge.get(f"/tasks/{names[0]}/attempts"))["items"]
    assert (attempt["attempt"], attempt["status"], attempt["name"]) == (0, "error", names[0])
    assert "disk on fire" in attempt["error"]
    big = json.dumps([[{"field": "size", "op": ">", "value": 10}]])
    assert len((await edge.get(f"/sessions/{session}/results", where=big, sort="-completed_at"))["items"]) == 6
    mine = json.dumps([[{"field": "id", "value": session}]])
    assert [one["id"] for one in (await edge.get("/sessions", where=mine))["items"]] == [session]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"where": '[[{"field": "id", "value": null}, {"field": "nme", "value": "x"}]]'}, "where[0][1].field"),
        ({"where": '[[{"field": "priority", "op": "=>", "value": 1}]]'}, "where[0][0].op"),
        ({"where": '[[{"field": "priority", "value": "1"}]]'}, "where[0][0].value"),
        ({"where": '[[{"field": "priority", "value": 1, "or": 2}]]'}, "where[0][0].or"),
        ({"where": "status=error"}, "where"),
        ({"where": "[" * 5000}, "where"),
        ({"where": '[[{"field": "priority", "value": %s}]]' % ("9" * 400)}, "where[0][0].value"),
        (
            {"where": '[[{"field": "priority", "op": "in", "value": [1, %s]}]]' % ("-" + "9" * 400)},
            "where[0][0].value[1]",
        ),
        ({"where": '[[{"field": "priority", "value": 9223372036854775808}]]'}, "where[0][0].value"),
        ({"where": '[[{"field": "priority", "value": 1e300}]]'}, "where[0][0].value"),
        ({"where": '[[{"field": "function", "value": "a\\u0000"}]]'}, "where[0][0].value"),
        ({"token": "a\x00"}, "token"),
        ({"sort": "nothing"}, "sort"),
    ],
)
async def test_what_is_wrong_with_a_query_is_named(edge: Edge, query: dict[str, str], field: str) -> None:
    session = await edge.session()
    assert (await edge.get(f"/sessions/{session}/tasks", 400, **query))["field"] == field


async def test_the_command_line_finds_counts_and_tells_of_attempts(edge: Edge) -> None:
    session = await edge.session(function="note")
    tasks = [{"options": {"priority": n + 1, "labels": {"of": "a,b"}}} for n in range(4)] + [
        {"options": {"function": "fail"}}
    ]
    submission = UUID((await edge.post(f"/sessions/{session}/submissions", {"tasks": tasks}))["id"])
    await edge.ended(session)
    found = ("--where", 'labels.of="a,b",priority>2', "--where", "error contains fire, status in error|timeout")
    code, out, err = await headrace(edge, "tasks", session, *found, "--sort", "-priority", "--json")
    assert (code, err) == (0, "")
    assert [one["priority"] for one in json.loads(out)["items"]] == [4, 3, 1]
    code, out, err = await headrace(edge, "count", session, "--where", "ended_at!=null")
    assert (code, err, out.split()) == (0, "", ["completed", "4", "error", "1", "total", "5"])
    code, out, err = await headrace(edge, "attempts", str(ids.task_id(submission, 4)))
    assert (code, err) == (0, "")
    assert "disk on fire" in out
    code, out, err = await headrace(edge, "tasks", session, "--where", "nothing=1")
    assert (code, out) == (2, "")
    assert "there is no field 'nothing'" in err


async def test_applications_are_merged_and_told_to_the_worker(edge: Edge) -> None:
    session = await edge.session(application_name="Night Survey", application_version="1", application_namespace="sky")
    own = {"application_version": "2", "function": "note"}
    body = {"tasks": [{}, {"options": own}], "options": {"application_namespace": "earth"}}
    submission = UUID((await edge.post(f"/sessions/{session}/submissions", body))["id"])
    await edge.ended(session)
    assert (await edge.value(ids.result_id(submission, 0))) == ["Night Survey", "earth"]
    assert (await edge.value(ids.result_id(submission, 1)))["by"] == "2"
    task = await edge.get(f"/tasks/{ids.task_id(submission, 1)}")
    assert (task["function"], task["application_name"], task["application_version"]) == ("note", "Night Survey", "2")
    assert (await edge.get(f"/tasks/{ids.task_id(submission, 0)}"))["function"] == "Night Survey"
    where = json.dumps([[{"field": "application_namespace", "op": "starts", "value": "ear"}]])
    assert len((await edge.get(f"/sessions/{session}/tasks", where=where))["items"]) == 2


async def test_a_hundred_thousand_tasks_in_one_body_inherit_options_and_wait_for_payloads(edge: Edge) -> None:
    lonely = await edge.rig.partition()
    session = await edge.session(lonely, "default", function="note", max_retries=4, labels={"from": "session"})
    made = await edge.post(f"/sessions/{session}/results", {"results": [{"name": "later"}]})
    later = made["results"][0]["id"]
    special = json.dumps({"payload_result": later, "options": {"partition": "default", "priority": 9}}).encode()

    async def body() -> AsyncIterator[bytes]:
        for start in range(0, 100_000, 1000):
            yield b"".join(
                special + b"\n" if n % 10_000 == 5000 else b'{"payload":%d}\n' % n for n in range(start, start + 1000)
            )

    options = json.dumps({"priority": 3, "labels": {"of": "submission"}})
    url = f"{ROOT}/sessions/{session}/submissions"
    answer = await edge.http.post(url, content=body(), headers=NDJSON, params={"options": options}, timeout=60)
    assert answer.status_code == 201, answer.text
    assert answer.json()["tasks"] == 100_000
    submission = UUID(answer.json()["id"])
    plain, own = [await edge.get(f"/tasks/{ids.task_id(submission, line)}") for line in (99_999, 5000)]
    names = ("priority", "max_retries", "partition", "labels")
    labels = {"from": "session", "of": "submission"}
    assert [plain[name] for name in names] == [3, 4, lonely, labels]
    assert [own[name] for name in names] == [9, 4, "default", labels]
    assert (own["status"], own["payload_result"]) == ("pending", later)
    where = json.dumps([[{"field": "payload_result", "value": later}]])
    counts = await edge.get(f"/sessions/{session}/tasks/count", where=where)
    assert counts["counts"] == {"pending": 10}
    assert (await edge.http.put(f"{ROOT}/results/{later}/data", content=b'"at last"')).status_code == 200

    async def done() -> bool:
        found = await edge.get(f"/sessions/{session}/tasks/count", where=where)
        return bool(found["counts"] == {"completed": 10})

    await wait_until(done)
    assert (await edge.value(ids.result_id(submission, 95_000)))["got"] == "at last"


EMPTY = {"tasks": 0, "outputs": 0, "claimed": 0, "lanes": 0, "shown": 0, "edges": 0, "chunks": 0}
UNKNOWN = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"
BAD: list[tuple[Any, int, str]] = [
    ([{}, {"options": {"partition": "elsewhere"}}], 400, "tasks[1].options.partition"),
    ([{}, {"inputs": [UNKNOWN]}], 404, "tasks[1].inputs[0]"),
    ([{}, {"payload_result": UNKNOWN}], 404, "tasks[1].payload_result"),
    ([{}, {"outputs": [UNKNOWN]}], 409, "tasks[1].outputs"),
    ([{}, {"inputs": ["@1"]}], 400, "tasks[1].inputs[0]"),
    ([{}, {"inputs": ["@2"]}, {}], 400, "tasks[1].inputs[0]"),
    ([{"inputs": ["A"], "outputs": ["A"]}], 409, "tasks[0].inputs"),
    ([{"inputs": ["B"], "outputs": ["A"]}, {"inputs": ["A"], "outputs": ["B"]}], 409, "tasks["),
    ([{"outputs": ["A"]}, {"outputs": ["A"]}], 409, "tasks[1].outputs[0]"),
    ([{"outputs": ["A", "A"]}], 409, "tasks[0].outputs[1]"),
    ([{"outputs": -1}], 400, "tasks[0].outputs"),
    ([{"outputs": 257}], 400, "tasks[0].outputs"),
    *(
        ([{}, {"options": {name: value}}], 400, f"tasks[1].options.{name}")
        for name, value in (
            ("priority", 0),
            ("priority", -5),
            ("priority", 100),
            ("priority", 1.5),
            ("priority", 10**30),
            ("max_retries", -1),
            ("max_retries", 101),
            ("max_duration", 0),
            ("max_duration", -1),
            ("max_duration", 2_592_001),
            ("max_duration", "1 hour"),
            ("partition", "../elsewhere"),
            ("partition", "a" * 64),
            ("function", ""),
            ("function", "rm -rf"),
            ("function", "f" * 129),
            ("application_name", ""),
            ("application_name", "a" * 256),
            ("application_version", "a\nb"),
            ("application_namespace", 7),
            ("application_service", "\u0000"),
            ("labels", {"a": 1}),
            ("labels", {"a": "b" * 256}),
            ("labels", {str(n): "" for n in range(65)}),
            ("engine", "x"),
        )
    ),
]


@pytest.mark.parametrize("number", range(len(BAD)))
async def test_a_bad_submission_is_refused_with_its_place_and_leaves_nothing(edge: Edge, number: int) -> None:
    tasks, status, field = BAD[number]
    session = await edge.session(function="note")
    made = (await edge.post(f"/sessions/{session}/results", {"results": [{"name": "a"}, {"name": "b"}]}))["results"]
    text = json.dumps(tasks).replace('"A"', f'"{made[0]["id"]}"').replace('"B"', f'"{made[1]["id"]}"')
    received = await edge.post(f"/sessions/{session}/submissions", {"tasks": json.loads(text)}, status)
    assert received["field"].startswith(field), received
    assert await edge.rows(session) == EMPTY
    lines = "\n".join(json.dumps(task) for task in json.loads(text))  # and as a body of lines
    answer = await edge.http.post(f"{ROOT}/sessions/{session}/submissions", content=lines, headers=NDJSON)
    assert (answer.status_code, answer.json()["field"]) == (status, received["field"])
    assert await edge.rows(session) == EMPTY


async def test_bad_options_of_a_session_or_a_submission_are_named(edge: Edge) -> None:
    assert (await edge.post("/sessions", {"options": {"priority": -1}}, 400))["field"] == "options.priority"
    assert (await edge.post("/sessions", {"partitions": ["elsewhere"]}, 404))["field"] == "partitions[0]"
    assert (await edge.post("/sessions", {"options": {"partition": "elsewhere"}}, 400))["field"] == "options.partition"
    session = await edge.session()
    body = {"tasks": [{}], "options": {"max_retries": 1000}}
    assert (await edge.post(f"/sessions/{session}/submissions", body, 400))["field"] == "options.max_retries"
    assert (await edge.post(f"/sessions/{UNKNOWN}/submissions", {"tasks": [{}]}, 404))["field"] == "session"
    assert await edge.rows(session) == EMPTY


async def test_a_submissions_id_that_is_taken(edge: Edge) -> None:
    session = await edge.session(function="note")
    name = str(ids.submission_id())
    url = f"{ROOT}/sessions/{session}/submissions"
    assert (await edge.http.post(url, content=b"{}\n{}", headers=NDJSON, params={"id": name})).status_code == 201
    other = await edge.http.post(url, content=b"{}", headers=NDJSON, params={"id": name})
    assert (other.status_code, other.json()["field"]) == (409, "Hr-Chunk")
    assert (await edge.get(f"/sessions/{session}/tasks/count"))["total"] == 2


def long_body(count: int) -> bytes:
    return b"".join(b'{"payload":"%0100d","inputs":["@0"]}\n' % n if n else b"{}\n" for n in range(count))


async def test_a_long_body_whose_last_line_is_cut_leaves_nothing(edge: Edge) -> None:
    session = await edge.session(function="note")
    claimed = (await edge.post(f"/sessions/{session}/results", {"results": [{}]}))["results"][0]["id"]
    body = b'{}\n{"outputs":["%b"]}\n' % claimed.encode() + long_body(12_000)[3:-12]
    answer = await edge.http.post(f"{ROOT}/sessions/{session}/submissions", content=body, headers=NDJSON)
    assert answer.status_code == 400, answer.text
    lines = body.count(b"\n")
    assert answer.json()["field"] == f"tasks[{lines}]"
    assert await edge.rows(session) == EMPTY


async def test_a_client_that_hangs_up_in_the_middle_has_submitted_nothing(edge: Edge) -> None:
    """What had come is hidden, never runs, and is what the sweeper removes (tests/integration/test_compute_sweep.py)."""
    session = await edge.session(function="note")
    name, body = ids.submission_id(), long_body(12_000)
    for head in (f"Content-Length: {10 * len(body)}", "Transfer-Encoding: chunked"):
        _, writer = await asyncio.open_connection("127.0.0.1", int(edge.gateway.url.rpartition(":")[2]))
        start = (
            f"POST {ROOT}/sessions/{session}/submissions?id={name} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/x-ndjson\r\n{head}\r\n\r\n"
        )
        sent = body if "Length" in head else b"%x\r\n%b\r\n" % (len(body), body)
        writer.write(start.encode() + sent)
        await writer.drain()

        async def arrived(name: UUID = name) -> bool:
            answer = await edge.http.get(f"{ROOT}/submissions/{name}")
            return answer.status_code == 200 and answer.json()["chunks"] >= 2

        await wait_until(arrived)
        writer.close()
        await writer.wait_closed()
        name = ids.submission_id()
    assert (await edge.http.get("/health/live")).status_code == 200
    for path in ("tasks", "results"):
        assert (await edge.get(f"/sessions/{session}/{path}"))["items"] == []
    assert (await edge.get(f"/sessions/{session}/tasks/count"))["total"] == 0
    assert (await edge.rows(session))["shown"] == 0
    again = await edge.http.post(f"{ROOT}/sessions/{session}/submissions", content=long_body(2), headers=NDJSON)
    assert again.status_code == 201
    await edge.ended(session)
    assert (await edge.get(f"/sessions/{session}/tasks/count"))["counts"] == {"completed": 2}
