"""The HTTP edge: routes, errors, who may do what."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from services.gateway.routes import ROUTES
from shared.contracts import compute as c
from shared.contracts.errors import Conflict, Unavailable
from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.gateway_rig import TOKEN, Gateway, running
from tests.support.servers import Servers

BAD = [
    ("POST", "/compute/v1/sessions", b"{", 400, "body"),
    ("POST", "/compute/v1/sessions", b"\xff\xfe", 400, "body"),
    ("POST", "/compute/v1/sessions", b'{"nmae": 1}', 400, "nmae"),
    ("POST", "/compute/v1/sessions", b'{"name": 1}', 400, "name"),
    ("POST", "/compute/v1/sessions", b'{"options": {"priority": 100}}', 400, "options.priority"),
    ("POST", "/compute/v1/sessions", b'{"options": {"x": 1}}', 400, "options.x"),
    ("POST", "/compute/v1/sessions", b'{"partitions": ["../etc"]}', 400, "partitions[0]"),
    ("POST", "/compute/v1/sessions", b'"' + b"x" * (1 << 20) + b'"', 413, "body"),
    ("GET", "/compute/v1/sessions/not-a-uuid", b"", 400, "session"),
    ("GET", "/compute/v1/sessions/..%2f..%2fetc", b"", 404, ""),
    ("GET", "/compute/v1/sessions?size=0", b"", 400, "size"),
    ("GET", "/compute/v1/sessions?size=1&size=2", b"", 400, "query"),
    ("GET", "/compute/v1/sessions?colour=red", b"", 400, "colour"),
    ("GET", f"/compute/v1/sessions/{uuid4()}", b"", 404, "session"),
    ("POST", "/compute/v1/partitions", b'{"name": "a/b"}', 400, "name"),
    ("POST", "/compute/v1/partitions", b"{}", 400, "name"),
    ("POST", "/compute/v1/partitions", b'{"name": "a", "priority": 100}', 400, "priority"),
    ("PATCH", "/compute/v1/partitions/gpu", b'{"max": -1}', 400, "max"),
    ("PATCH", "/compute/v1/partitions/gpu", b'{"name": "other"}', 400, "name"),
    ("PATCH", "/compute/v1/partitions/No", b"{}", 400, "name"),
    ("DELETE", "/compute/v1/partitions/..%2fx", b"", 404, ""),
    ("POST", f"/compute/v1/sessions/{uuid4()}/close", b'{"force": true}', 400, "force"),
    ("POST", f"/compute/v1/sessions/{uuid4()}/results", b'{"results": []}', 400, "results"),
    ("POST", "/compute/v1/sessions/nope/results", b'{"results": [{}]}', 400, "session"),
    ("PUT", "/compute/v1/results/nope/data", b"x", 400, "result"),
    ("GET", "/compute/v1/nothing", b"", 404, ""),
    ("DELETE", "/compute/v1/sessions", b"", 405, ""),
    ("GET", "/events?session=x", b"", 400, "session"),
    ("GET", "/events?from=yesterday", b"", 400, "from"),
    ("GET", "/events?last_event_id=7", b"", 400, "Last-Event-ID"),
    ("POST", "/compute/v1/sessions", b'{"name": "\xff"}', 400, "body"),
    (
        "POST",
        f"/compute/v1/sessions/{uuid4()}/submissions",
        b'{"tasks": [{"payload": ' + b"[" * 5000 + b"]" * 5000 + b"}]}",
        400,
        "body",
    ),
    ("POST", f"/compute/v1/sessions/{uuid4()}/submissions", b'{"tasks": [{"payload": "\xff"}]}', 400, "body"),
    ("GET", "/ops/v1/dead?token=x", b"", 400, "token"),
    ("GET", "/ops/v1/dead?token=" + "9" * 5000, b"", 400, "token"),
    ("POST", "/ops/v1/dead/replay", b"{}", 400, "sequences"),
    ("POST", "/ops/v1/users", b'{"name": "a.b"}', 400, "name"),
    ("POST", "/ops/v1/users", b'{"name": "a", "roles": ["king"]}', 400, "roles[0]"),
    ("POST", "/ops/v1/users", b'{"name": "eve", "roles": ["admin"]}', 400, "roles"),
    ("DELETE", f"/ops/v1/tokens/{uuid4()}", b"", 404, "token"),
]
"""method, path, body, the answer's status and the field that it names"""


@pytest.fixture
async def gateway(nats: Servers, database: Database, s3: Bucket, tmp_path: Path) -> AsyncIterator[Gateway]:
    async with running(nats, database, s3, tmp_path) as started:
        yield started


async def test_session_round_trip(gateway: Gateway) -> None:
    http, scheduler = gateway.http, gateway.scheduler
    body = {"partitions": ["default"], "options": {"function": "f"}, "name": "first"}
    made = await http.post("/compute/v1/sessions", json=body, headers={"Idempotency-Key": "k1"})
    assert made.status_code == 201
    ctx, asked = scheduler.asked("session.create")[0]
    assert (ctx.user, ctx.key, asked.name, asked.options.function) == ("admin", "k1", "first", "f")
    assert made.headers["traceparent"][3:35] == ctx.trace[3:35]
    session = made.json()["id"]
    assert (await http.get(f"/compute/v1/sessions/{session}")).json()["tasks"]["total"] == 3
    assert (await http.post(f"/compute/v1/sessions/{session}/close")).status_code == 200
    page = await http.get("/compute/v1/sessions", params={"size": 5, "status": "running", "token": "t"})
    assert len(page.json()["items"]) == 1
    asked = scheduler.asked("session.list")[0][1]
    assert (asked.size, asked.status, asked.token) == (5, "running", "t")


async def test_a_partition_is_changed_by_its_name(gateway: Gateway) -> None:
    http, scheduler = gateway.http, gateway.scheduler
    made = await http.post("/compute/v1/partitions", json={"name": "gpu", "priority": 5, "reserve": 2, "max": 8})
    assert (made.status_code, made.json()["name"]) == (201, "gpu")
    place = "/compute/v1/partitions/gpu"
    assert (await http.get(place)).json()["priority"] == 1
    for body in ({"max": None}, {"priority": 7}):
        assert (await http.patch(place, json=body)).status_code == 200
    assert (await http.delete(place)).json()["name"] == "gpu"
    assert scheduler.asked("partition.create")[0][1] == c.PartitionCreate("gpu", 5, 2, 8)
    updates = [asked for _, asked in scheduler.asked("partition.update")]
    assert updates == [c.PartitionUpdate("gpu", max=None), c.PartitionUpdate("gpu", priority=7)], "null is not unsaid"
    assert scheduler.asked("partition.delete")[0][1] == c.PartitionRef("gpu")
    scheduler.failing["partition.delete"] = Conflict("it is in use")
    assert (await http.delete(place)).status_code == 409


async def test_trace_of_the_caller_goes_on(gateway: Gateway) -> None:
    parent = f"00-{'ab' * 16}-{'cd' * 8}-01"
    answer = await gateway.http.get("/compute/v1/partitions", headers={"traceparent": parent})
    assert answer.headers["traceparent"][3:35] == "ab" * 16
    assert gateway.scheduler.asked("partition.list")[0][0].trace[3:35] == "ab" * 16
    refused = await gateway.http.get("/compute/v1/sessions/x", headers={"traceparent": parent})
    assert refused.json()["trace"] == "ab" * 16


async def test_bad_requests_are_problem_details_and_change_nothing(gateway: Gateway) -> None:
    for method, path, sent, status, field in BAD:
        answer = await gateway.http.request(method, path, content=sent or None)
        case = f"{method} {path} {sent[:50]!r}: {answer.text}"
        assert answer.status_code == status, case
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json", case
        assert (problem.get("field", ""), problem["status"]) == (field, status), case
        assert problem["trace"], case
        assert problem["detail"], case
    assert {action for action, _, _ in gateway.scheduler.seen} <= {"session.get", "session.list"}


async def test_a_session_is_shown_with_its_counts(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    assert (await gateway.http.get(f"/compute/v1/sessions/{session}")).json()["id"] == str(session)
    assert [asked for _, asked in gateway.scheduler.asked("session.get")] == [c.SessionGet(session, counts=True)]
    assert (await gateway.http.get(f"/compute/v1/sessions/{session}?counts=true")).status_code == 400


async def test_a_value_too_large_for_json_says_where_to_put_it(gateway: Gateway) -> None:
    session = gateway.scheduler.session().id
    url = f"/compute/v1/sessions/{session}/results"
    answer = await gateway.http.post(url, json={"results": [{"name": "a"}, {"data": "A" * 24_000}]})
    assert (answer.status_code, answer.json()["field"]) == (413, "results[1].data")
    assert "PUT" in answer.json()["detail"]
    answer = await gateway.http.post(url, json={"results": [{"object": "results/of/somebody-else"}]})
    assert (answer.status_code, answer.json()["field"]) == (400, "results[0].object")
    assert not gateway.scheduler.asked("result.create")
    answer = await gateway.http.post(url, json={"results": [{"name": "a", "data": "QUJD"}]})
    assert answer.status_code == 201
    assert gateway.scheduler.asked("result.create")[0][1].results[0].data == b"ABC"


async def test_errors_of_the_scheduler_are_passed_on(gateway: Gateway) -> None:
    gateway.scheduler.failing["session.create"] = Conflict("it is CLOSED", field="x")
    answer = await gateway.http.post("/compute/v1/sessions", json={})
    assert (answer.status_code, answer.json()["code"], answer.json()["field"]) == (409, "failed_precondition", "x")
    gateway.scheduler.failing["session.create"] = Unavailable()
    answer = await gateway.http.post("/compute/v1/sessions", json={})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    gateway.scheduler.failing["session.create"] = RuntimeError("a secret of ours")
    answer = await gateway.http.post("/compute/v1/sessions", json={})
    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_without_a_token_only_health_and_the_page(gateway: Gateway) -> None:
    async with gateway.client(None) as nobody:
        for route in ROUTES:
            path = route.path.format(**{name: uuid4() for name in route.parameters})
            answer = await nobody.request(route.method, path)
            if route.needs is None:
                assert answer.status_code == (400 if route.body else 200), path
            else:
                assert answer.status_code == 401, path
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert (await nobody.get("/schema/openapi.json")).status_code == 200
    async with gateway.client("wrong") as stranger:
        assert (await stranger.get("/compute/v1/sessions")).status_code == 401
    assert not gateway.scheduler.seen


async def test_roles_users_and_revocation(gateway: Gateway) -> None:
    made = await gateway.http.post("/ops/v1/users", json={"name": "ada", "roles": ["user"]})
    async with gateway.client(made.json()["token"]) as ada:
        session = (await ada.post("/compute/v1/sessions", json={})).json()
        assert session["owner"] == "ada"
        assert gateway.scheduler.asked("session.create")[0][0].user == "ada"
        for method, path in (("GET", "/ops/v1/status"), ("GET", "/metrics"), ("POST", "/compute/v1/partitions")):
            answer = await ada.request(method, path)
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        foreign = gateway.scheduler.session("admin").id
        assert (await ada.get(f"/compute/v1/sessions/{foreign}")).status_code == 404
        assert (await ada.get(f"/events?session={foreign}")).status_code == 404
        again = await gateway.http.post("/ops/v1/users", json={"name": "ada", "roles": ["reader"]})
        assert (again.status_code, again.json()["field"]) == (409, "roles")
        assert (await gateway.http.delete(f"/ops/v1/tokens/{made.json()['id']}")).status_code == 204
        assert (await ada.get("/compute/v1/sessions")).status_code == 401
    async with await gateway.user("rita", "reader") as rita:
        assert (await rita.get("/compute/v1/sessions")).status_code == 200
        assert (await rita.post("/compute/v1/sessions", json={})).status_code == 403
    async with await gateway.user("otto", "operator") as otto:
        assert (await otto.get("/ops/v1/status")).status_code == 200
        assert (await otto.post("/ops/v1/users", json={"name": "evil", "roles": ["admin"]})).status_code == 403


async def test_health_status_metrics(gateway: Gateway) -> None:
    ready = await gateway.http.get("/health/ready")
    assert (ready.status_code, ready.json()["ok"]) == (200, True), ready.text
    status = (await gateway.http.get("/ops/v1/status")).json()
    assert [one["service"] for one in status["services"]] == [
        "gateway",
        "scheduler",
        "archiver",
        "retriever",
        "broker",
    ]
    assert status["ok"]
    assert {stream["name"] for stream in status["streams"]} >= {"EVENTS", "REPORTS", "DEAD"}
    assert status["partitions"][0]["slots"] == 2
    metrics = (await gateway.http.get("/metrics")).text
    assert 'headrace_service_up{service="broker"} 1' in metrics
    assert 'headrace_stream_messages{stream="EVENTS"} 0' in metrics
    assert 'endpoint="session-create"' in metrics


async def test_not_ready_says_who(gateway: Gateway) -> None:
    await gateway.scheduler.stop()
    ready = await gateway.http.get("/health/ready")
    assert ready.status_code == 503
    assert ready.json()["services"]["scheduler"] != "ok"
    assert ready.json()["services"]["broker"] == "ok"
    assert (await gateway.http.get("/health/live")).status_code == 200
    answer = await gateway.http.get("/compute/v1/sessions")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_openapi_names_every_route(gateway: Gateway) -> None:
    document = (await gateway.http.get("/schema/openapi.json")).json()
    for route in ROUTES:
        assert route.method.lower() in document["paths"][route.path]
    session = document["components"]["schemas"]["SessionCreate"]
    assert session["additionalProperties"] is False


async def headrace(gateway: Gateway, *arguments: str, sent: bytes = b"") -> tuple[int, bytes, bytes]:
    """Runs the command as a user would."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "shared.client.cli", *arguments),
        env={"HEADRACE_HTTP_URL": gateway.url, "HEADRACE_TOKEN": TOKEN, "PATH": os.environ["PATH"]},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(sent), 30)
    assert process.returncode is not None
    return process.returncode, out, err


async def test_the_command_line_on_a_real_edge(gateway: Gateway) -> None:
    code, out, err = await headrace(gateway, "status", "--json")
    assert (code, err) == (0, b"")
    assert json.loads(out)["ok"]
    session = str(gateway.scheduler.session().id)
    sent = b'{"payload": 1}\n' * 20_000
    code, out, err = await headrace(
        gateway, "submit", "-", "--session", session, "--function", "f", "--json", sent=sent
    )
    assert (code, err) == (0, b"")
    assert json.loads(out)["session"] == session
    bodies = [body for _, body in gateway.scheduler.asked("submission.chunk")]
    assert sum(len(body.splitlines()) for body in bodies) == 20_000
    code, out, err = await headrace(gateway, "session", str(uuid4()))
    assert (code, out) == (1, b"")
    assert b"field: session" in err
    code, out, err = await headrace(gateway, "dead", "list")
    assert (code, out.strip()) == (0, b"Dead messages: none")
    gateway.scheduler.failing["submission.chunk"] = Conflict("no more")
    code, out, err = await headrace(gateway, "submit", "-", sent=b"{}\n")
    assert (code, b"no more" in err) == (1, True)
    assert len(gateway.scheduler.asked("session.close")) == 1
