"""What no column can hold is refused where a request is decoded, by the name of its field: in every field of every request."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect as kinds

from services.gateway.routes import ROUTES
from services.scheduler.compute.submissions.chunk import decode_tasks
from shared.contracts.compute import SubmissionCreate, TaskSpec
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import ENDPOINTS
from shared.contracts.errors import Invalid
from shared.contracts.ids import uuid7
from shared.service.decode import check_texts, decoder, nul
from tests.support.json_texts import texts
from tests.support.wire import example

TYPED = [endpoint for endpoint in ENDPOINTS if endpoint.request is not bytes]


@pytest.mark.parametrize("endpoint", TYPED, ids=lambda endpoint: endpoint.name)
def test_no_text_of_any_request_has_a_nul(endpoint: Endpoint[Any, Any]) -> None:
    decode = decoder(endpoint.request)
    whole = msgspec.json.decode(msgspec.json.encode(example(endpoint.request)))
    for place, changed in texts(whole):
        data = msgspec.json.encode(changed)
        assert b"\\u0000" in data
        with pytest.raises(Invalid) as refused:
            decode(data)
        assert refused.value.field.partition("[")[0].partition(".")[0] == place.partition("[")[0].partition(".")[0]


def bounds(kind: Any, at: str, seen: set[Any]) -> Iterator[tuple[str, int | None, int | None]]:
    """The numbers of a type: place, the least and the most that each may be."""
    if isinstance(kind, kinds.StructType):
        if kind.cls not in seen:
            seen.add(kind.cls)
            for field in kind.fields:
                yield from bounds(field.type, f"{kind.cls.__name__}.{field.name}", seen)
    elif isinstance(kind, kinds.IntType):
        least = kind.ge if kind.gt is None else kind.gt
        yield at, least, kind.le if kind.lt is None else kind.lt
    elif isinstance(kind, (kinds.ListType, kinds.SetType, kinds.VarTupleType)):
        yield from bounds(kind.item_type, f"{at}[]", seen)
    elif isinstance(kind, kinds.DictType):
        yield from bounds(kind.value_type, f"{at}{{}}", seen)
    elif isinstance(kind, kinds.TupleType):
        for part in kind.item_types:
            yield from bounds(part, f"{at}[]", seen)
    elif isinstance(kind, kinds.UnionType):
        for part in kind.types:
            yield from bounds(part, at, seen)


ID = uuid7()
REQUESTS = {
    **{endpoint.name: endpoint.line or endpoint.request for endpoint in ENDPOINTS},
    **{
        f"{route.method} {route.path} {n}": kind for route in ROUTES for n, kind in enumerate((route.query, route.body))
    },
}


@pytest.mark.parametrize("kind", list({kind: 0 for kind in REQUESTS.values() if kind is not None}), ids=str)
def test_every_number_of_every_request_has_bounds_that_a_column_has(kind: Any) -> None:
    found = list(bounds(kinds.type_info(kind), "", set()))
    open_ended = [at for at, least, most in found if least is None or most is None]
    assert not open_ended, "say between which numbers it lies: the database's columns have an end"
    assert all(
        least >= -(2**63) and most <= 2**63 for _, least, most in found if least is not None and most is not None
    )


def test_raw_json_and_bytes_keep_what_they_have() -> None:
    data = b'{"payload":"a\\u0000b"}'
    spec = msgspec.json.decode(data, type=TaskSpec)
    check_texts(spec, data)
    assert bytes(spec.payload) == b'"a\\u0000b"'


def test_what_only_looks_like_one_is_kept() -> None:
    data = rb'["\\u0000"]'
    check_texts(msgspec.json.decode(data), data)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("a\x00", ""),
        ({"a": ["b", {"c": "\x00"}]}, "a[1].c"),
        ({"a": {"b\x00": 1}}, "a"),
        ([1, None, "x"], None),
        (TaskSpec(inputs=["@0", "\x00"]), "inputs[1]"),
    ],
)
def test_the_place_is_named(value: Any, place: str | None) -> None:
    assert nul(value) == place


@pytest.mark.parametrize("text", [rb"\ud800", rb"\udc00x", rb"x\ud83dx"])
def test_a_lone_surrogate_is_no_json(text: bytes) -> None:
    decode = decoder(dict[str, str])
    with pytest.raises(Invalid):
        decode(b'{"a":"' + text + b'"}')


@pytest.mark.parametrize("payload", [b'"\xff"', b'{"a": "\xc3"}', b'"\xed\xa0\x80"', b'"\xc0\x80"'], ids=range(4))
def test_raw_json_is_utf8_too(payload: bytes) -> None:
    line = b'{"payload": %b}' % payload
    with pytest.raises(Invalid) as refused:
        decode_tasks(b'{}\n{"payload": "\xc3\xa9"}\n' + line)
    assert refused.value.field == "tasks[2]"
    session = msgspec.json.encode(ID)
    with pytest.raises(Invalid, match="not UTF-8"):
        decoder(SubmissionCreate)(b'{"session": %b, "tasks": [%b]}' % (session, line))
