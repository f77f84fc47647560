"""From an ASGI request to a handler and back: routes, messages, errors, and what each domain may do in its own way."""

from types import SimpleNamespace
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.http import openapi
from services.gateway.http.application import Application
from services.gateway.http.asgi import Response
from services.gateway.http.domain import Domain
from services.gateway.http.fields import convert, read_query
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Nothing, Route
from services.gateway.routes import DOMAINS, ROUTES, SCICAT
from shared.contracts.compute import Condition, TaskQuery
from shared.contracts.errors import HeadraceError, Invalid


class Thing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message with a field of each form."""

    name: Annotated[str, msgspec.Meta(pattern="^[a-z/.]+$")]
    count: int = 1
    ids: list[UUID] | None = None
    filter: dict[str, int] = {}


class ThingUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    note: str | msgspec.UnsetType | None = msgspec.UNSET


async def show(request: Request, thing: Thing) -> Response:
    return Reply(thing)


async def update(request: Request, message: ThingUpdate) -> Response:
    return Reply([message.name, "unset" if message.note is msgspec.UNSET else message.note])


async def fail(request: Request, _: object) -> Response:
    raise RuntimeError("a secret of ours")


def route(method: str, path: str, handler: Any, message: Any = Nothing) -> Route:
    return Route(method=method, path=path, needs=None, handler=handler, message=message, summary="")


def plain_errors(error: HeadraceError, trace: str) -> Response:
    return Reply(f"{error.code} {error.field}".encode(), error.status, media_type="text/plain")


def lower_query(raw: bytes, kind: Any) -> dict[str, Any]:
    return {name.lower(): value for name, value in read_query(raw, kind).items()}


def things(root: str) -> list[Route]:
    return [
        route("GET", f"{root}/{{name}}", show, Thing),
        route("PATCH", f"{root}/{{name}}", update, ThingUpdate),
        route("GET", f"{root}/fixed", fail),
    ]


AUDIT = SimpleNamespace(check_room=lambda: None, record=lambda *entry: None)
APPLICATION = Application(
    SimpleNamespace(audit=AUDIT),  # type: ignore[arg-type]
    [
        Domain(prefix="", routes=things("")),
        Domain(prefix="/own", routes=things("/own"), errors=plain_errors, read_query=lower_query, encoded_slash=True),
    ],
)


async def ask(method: str, target: str, body: bytes = b"", content_type: str = "") -> tuple[int, str, bytes]:
    """Status, media type and body of the answer."""
    status, headers, found = await answer(method, target, body, content_type)
    return status, headers.get(b"content-type", b"").decode(), found


async def allowed(method: str, target: str) -> str:
    """The methods that the answer names."""
    return (await answer(method, target))[1][b"allow"].decode()


async def answer(
    method: str, target: str, body: bytes = b"", content_type: str = ""
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer."""
    path, _, query = target.partition("?")
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    decoded = path.replace("%2F", "/")
    given = [(b"content-type", content_type.encode())] if content_type else []
    scope = {"type": "http", "method": method, "path": decoded, "raw_path": path.encode(), "headers": given}
    await APPLICATION(scope | {"query_string": query.encode()}, receive, send)
    headers = dict(sent[0]["headers"])
    assert b"traceparent" in headers
    return sent[0]["status"], headers, b"".join(one["body"] for one in sent[1:])


ID = UUID("01a22e97-cc3a-7291-9543-bc5800000000")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a", Thing("a")),
        ("//a/", Thing("a")),
        ("/a?count=3", Thing("a", 3)),
        (f"/a?ids={ID},{ID}", Thing("a", ids=[ID, ID])),
        ('/a?filter={"x":1}', Thing("a", filter={"x": 1})),
        ("/own/a%2Fb?COUNT=2", Thing("a/b", 2)),
    ],
)
async def test_a_message_is_read_by_the_types_of_its_fields(target: str, expected: Thing) -> None:
    status, media, body = await ask("GET", target)
    assert (status, media) == (200, "application/json"), body
    assert msgspec.json.decode(body, type=Thing) == expected


@pytest.mark.parametrize(
    ("target", "status", "field"),
    [
        ("/A", 400, "name"),
        ("/a?count=x", 400, "count"),
        ("/a?count=1&count=2", 400, "query"),
        ("/a?ids=1", 400, "ids[0]"),
        ("/a?filter={", 400, "filter"),
        ("/a?filter=" + "[" * 100_000, 400, "filter"),
        ("/a?filter=1", 400, "filter"),
        ("/a?colour=red", 400, "colour"),
        ("/a?name=b", 200, ""),
        ("/a%2Fb", 404, ""),
        ("/", 404, ""),
        ("/a/b", 404, ""),
        ("/fixed", 500, ""),
    ],
)
async def test_what_is_wrong_is_named_in_a_problem_document(target: str, status: int, field: str) -> None:
    found, media, body = await ask("GET", target)
    assert found == status, body
    if status != 200:
        assert media == "application/problem+json"
        problem = msgspec.json.decode(body)
        assert (problem["status"], problem.get("field", "")) == (status, field)
        assert len(problem["trace"]) == 32
        assert b"secret" not in body


async def test_a_domain_has_its_own_form_of_errors_and_reads_queries_in_its_own_way() -> None:
    assert await ask("GET", "/own/a?COUNT=x") == (400, "text/plain", b"invalid_argument count")
    assert await ask("GET", "/own/nothing/here") == (404, "text/plain", b"not_found ")
    assert await ask("POST", "/own/a") == (405, "text/plain", b"method_not_allowed ")
    assert await ask("GET", "/own/fixed") == (500, "text/plain", b"internal ")


async def test_null_is_not_unset_and_the_address_goes_beside_the_body() -> None:
    assert await ask("PATCH", "/a", b"") == (200, "application/json", b'["a","unset"]')
    assert await ask("PATCH", "/a", b'{"note":null}') == (200, "application/json", b'["a",null]')
    status, _, body = await ask("PATCH", "/a", b'{"name":"b"}')
    assert (status, msgspec.json.decode(body)["field"]) == (400, "name")


async def test_only_json_is_taken_and_an_empty_body_whatever_its_type() -> None:
    form = "application/x-www-form-urlencoded"  # what curl says of an empty body too
    assert await ask("PATCH", "/a", b"", form) == (200, "application/json", b'["a","unset"]')
    assert (await ask("PATCH", "/a", b"{}", "application/json; charset=utf-8"))[0] == 200
    status, _, body = await ask("PATCH", "/a", b"note=1", form)
    assert (status, msgspec.json.decode(body)["field"]) == (415, "Content-Type")


async def test_the_methods_of_an_address() -> None:
    assert (await ask("OPTIONS", "/a"))[0] == 204
    assert (await allowed("OPTIONS", "/a")) == (await allowed("DELETE", "/a")) == "GET, HEAD, OPTIONS, PATCH"
    assert (await ask("OPTIONS", "/a/b"))[0] == 404
    assert (await ask("PATCH", "/fixed"))[0] == 405, "a fixed segment goes before a named one"


async def test_head_is_answered_as_a_get_without_its_body() -> None:
    status, media, body = await ask("HEAD", "/a?count=3")
    assert (status, media, body) == (200, "application/json", b"")
    assert (await ask("HEAD", "/a?count=x"))[0] == 400
    assert (await ask("HEAD", "/fixed"))[0] == 500
    assert (await ask("HEAD", "/a/b"))[0] == 404


def test_a_route_whose_message_does_not_have_a_segment_of_its_address_cannot_be_made() -> None:
    with pytest.raises(AssertionError, match="colour"):
        route("GET", "/{colour}", show, Thing)
    with pytest.raises(AssertionError, match="not under"):
        Domain(prefix="/own", routes=things(""))
    with pytest.raises(AssertionError, match="twice"):
        Application(SimpleNamespace(), [Domain(prefix="", routes=[*things(""), *things("")])])  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="two domains"):
        Application(SimpleNamespace(), [*DOMAINS, DOMAINS[0]])  # type: ignore[arg-type]


def test_the_document_says_of_each_parameter_what_is_read() -> None:
    paths = openapi.document(ROUTES, "1")["paths"]
    (name,) = paths["/compute/v1/partitions/{name}"]["get"]["parameters"]
    assert (name["in"], name["required"]) == ("path", True)
    assert "format" not in name["schema"], "a partition's name is no UUID"
    assert paths["/compute/v1/sessions/{session}"]["get"]["parameters"][0]["schema"]["format"] == "uuid"
    tasks = {one["name"]: one for one in paths["/compute/v1/sessions/{session}/tasks"]["get"]["parameters"]}
    assert tasks.keys() == set(TaskQuery.__struct_fields__)
    assert tasks["where"]["content"]["application/json"]["schema"]["items"]["items"]["$ref"].endswith("/Condition")
    assert tasks["sort"]["description"]
    watch = {one["name"]: one for one in paths["/compute/v1/sessions/{session}/watch"]["get"]["parameters"]}
    assert (watch["tasks"]["style"], watch["tasks"]["explode"]) == ("form", False)
    body = paths["/compute/v1/partitions/{name}"]["patch"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].endswith("/PartitionUpdateBody")


def test_conditions_of_a_list_are_json_and_ids_have_commas_between_them() -> None:
    query = b'where=[[{"field":"status","value":"error"}]]&size=5'
    found = convert(read_query(query, TaskQuery) | {"session": str(ID)}, TaskQuery)
    assert (found.where, found.size) == ([[Condition("status", "error")]], 5)
    with pytest.raises(Invalid) as refused:
        convert({"session": "a\0"}, TaskQuery)
    assert refused.value.field == "session"


def test_what_is_at_the_address_of_scicat_is_at_ours_too() -> None:
    ours, theirs = (next(one for one in DOMAINS if one.prefix == prefix) for prefix in ("/data/v1", SCICAT))
    rows = {(one.method, one.path.removeprefix(ours.prefix), one.asks, one.message) for one in ours.routes}
    assert {(one.method, one.path.removeprefix(theirs.prefix), one.asks, one.message) for one in theirs.routes} < rows
    assert ("POST", f"{SCICAT}/datasets") in {(one.method, one.path) for one in theirs.routes}
