"""What the edge decides without asking anybody: places, ranges, ids, problems, figures."""

import asyncio
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from services.gateway.compute.submissions import keyed_id, placed
from services.gateway.compute.value_handlers import span
from services.gateway.events.feed import Event, nanoseconds, starting
from services.gateway.events.place import Place, parse_place
from services.gateway.events.sources import event_text
from services.gateway.http import errors, openapi, sse
from services.gateway.http.application import span_of
from services.gateway.http.errors import Unsatisfiable
from services.gateway.http.fields import part
from services.gateway.ops import metrics, system_status
from services.gateway.ops.system_status import ConsumerState, StreamState
from services.gateway.routes import ROUTES
from shared.contracts.compute import ResultCreate, SessionCreate
from shared.contracts.errors import BY_CODE, Conflict, Invalid, NotFound, RateLimited, Unauthenticated, Unavailable
from shared.contracts.health import Health
from shared.contracts.ids import is_submission, uuid7
from shared.testing.chain import ManualClock


def test_where_a_reader_starts() -> None:
    def at(after: Place | None, *, from_start: bool = False) -> int:
        return starting(after, created=5, last=100, from_start=from_start)

    assert at(None) == 100
    assert at(None, from_start=True) == 0
    assert at(Place(5, 40)) == 40
    assert at(Place(5, 40), from_start=True) == 40
    assert at(Place(4, 40)) == 0
    assert at(Place(5, 400)) == 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("2026-11-22T02:47:00.123456789Z", 1_795_315_620_123_456_789),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
    ],
)
def test_times_of_the_server(text: str, expected: int) -> None:
    assert nanoseconds(text) == expected


def test_frames() -> None:
    assert sse.hello(str(Place(7, 3))) == b": connected\nid: 7-3\nretry: 1000\n\n"
    text = event_text(Event(7, 4, "hr.evt.task.changed.abc", b'{"a":1}'))
    assert text == b'id: 7-4\nevent: task.changed\ndata: {"a":1}\n\n'
    assert b'data: { "a" :1}' in event_text(Event(7, 4, "hr.evt.task.changed.abc", b'{\n"a"\r:1}'))
    assert parse_place("7-4") == Place(7, 4)


@pytest.mark.parametrize("text", ["", "7", "7-", "-7", "a-b", "7-4-1", "7-4\n"])
def test_ids_that_are_none(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_place(text)
    assert caught.value.field == "Last-Event-ID"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", (0, 10)),
        ("bytes=0-3", (0, 4)),
        ("bytes=4-", (4, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=0-99", (0, 10)),
        ("bytes=0-1,4-5", (0, 10)),
        ("items=0-1", (0, 10)),
        ("bytes=-", (0, 10)),
        ("bytes=0-" + "9" * 19, (0, 10)),
        ("bytes=0-" + "9" * 5000, (0, 10)),
        ("bytes=0-\u00b2", (0, 10)),
    ],
)
def test_ranges(header: str, expected: tuple[int, int]) -> None:
    assert span(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=5-4", "bytes=-0"])
def test_ranges_outside(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        span(header, 10)


def test_keys_stand_for_ids() -> None:
    session = uuid7()
    made = keyed_id("ada", session, "k")
    assert is_submission(made)
    assert made == keyed_id("ada", session, "k")
    assert made.bytes[:6] == session.bytes[:6]
    assert len({made, keyed_id("bob", session, "k"), keyed_id("ada", session, "l"), keyed_id("ada", uuid7(), "k")}) == 4


def test_lines_are_counted_from_the_start_of_the_body() -> None:
    assert placed(Invalid("x", field="tasks[3].inputs[0]"), 10).field == "tasks[13].inputs[0]"
    assert placed(Conflict("x", field="tasks[-3].inputs"), 10).field == "tasks[7].inputs"
    assert placed(Invalid("x", field="Hr-Chunk"), 10).field == "Hr-Chunk"
    assert isinstance(placed(NotFound("x", field="tasks[0]"), 1), NotFound)


def test_problems_have_a_stable_form() -> None:
    reply = errors.problem_reply(Invalid("bad", field="a.b"), "t" * 32)
    assert (reply.status, reply.media_type) == (400, "application/problem+json")
    assert msgspec.json.decode(reply.body) == {
        "type": "urn:headrace:error:invalid_argument",
        "title": "The request is not valid",
        "status": 400,
        "detail": "bad",
        "code": "invalid_argument",
        "field": "a.b",
        "trace": "t" * 32,
    }
    assert errors.headers(Unavailable()) == errors.headers(RateLimited()) == {"Retry-After": "1"}
    assert "WWW-Authenticate" in errors.headers(Unauthenticated())
    assert {"method_not_allowed", "range_not_satisfiable"}.isdisjoint(BY_CODE)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"options": {"priority": "x"}}', "options.priority"),
        (b'{"colour": 1}', "colour"),
        (b'{"options": {"colour": 1}}', "options.colour"),
        (b'{"partitions": ["ok", "No"]}', "partitions[1]"),
        (b"[]", "body"),
    ],
)
def test_the_field_that_is_wrong(body: bytes, field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=SessionCreate)
    assert errors.invalid(caught.value, where="body").field == field


def test_a_trace_is_taken_over_with_a_span_of_our_own() -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    ours = span_of(parent)
    assert ours[:36] == parent[:36]
    assert ours[36:52] != "b" * 16
    assert ours[52:] == "-01"
    assert len(span_of("nonsense")) == len(span_of(None)) == 55


def test_bodies_less_what_the_path_gives() -> None:
    kind = part(ResultCreate, frozenset({"session"}), inside=False)
    assert kind.__struct_fields__ == ("results",)
    with pytest.raises(msgspec.ValidationError, match="session"):
        msgspec.json.decode(b'{"results": [{}], "session": "%s"}' % str(UUID(int=0)).encode(), type=kind)


def test_metrics_are_prometheus_text() -> None:
    streams = [StreamState("EVENTS", 3, 99, 3, [ConsumerState("c", 1, 2)])]
    ends = [{"name": "session-get", "num_requests": 5, "num_errors": 1, "processing_time": 2_500_000_000}]
    stats = [{"name": "scheduler", "id": "A", "endpoints": ends}]
    text = metrics.text(stats, streams, [Health('odd"name', "", False, {}, "")])
    assert 'headrace_service_up{service="odd\\"name"} 0\n' in text
    assert 'headrace_requests_total{service="scheduler",process="A",endpoint="session-get"} 5\n' in text
    assert 'headrace_request_seconds_total{service="scheduler",process="A",endpoint="session-get"} 2.5\n' in text
    assert 'headrace_consumer_unacknowledged{stream="EVENTS",consumer="c"} 2\n' in text
    families = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families))


def test_the_document_has_what_its_references_name() -> None:
    document = openapi.document(ROUTES, "1")
    text = msgspec.json.encode(document).decode()
    references = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert references <= set(document["components"]["schemas"])
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))
    submit = document["paths"]["/compute/v1/sessions/{session}/submissions"]["post"]
    assert set(submit["requestBody"]["content"]) == {"application/json", "application/x-ndjson"}
    assert {one["name"] for one in submit["parameters"]} == {"session", "id", "options"}


async def test_many_who_ask_for_the_health_at_once_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    async def health(bus: Any) -> list[Health]:
        asked.append(bus)
        await asyncio.sleep(0)
        return []

    monkeypatch.setattr(system_status, "health", health)
    clock = ManualClock()
    readiness = system_status.Readiness(cast(Any, "bus"), clock)
    waits = [asyncio.create_task(readiness.health()) for _ in range(50)]
    await asyncio.sleep(0)
    waits[0].cancel()  # who began it and has hung up does not take it from the others
    assert [await wait for wait in waits[1:]] == [[]] * 49
    await readiness.health()
    assert asked == ["bus"], "nor do those who ask just after"
    clock.move(system_status.READY_FOR + 0.01)
    await readiness.health()
    assert asked == ["bus", "bus"]
