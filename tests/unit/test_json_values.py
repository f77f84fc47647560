"""Values as JSON: what would not come back as it was is refused with its place."""

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any

import attrs
import msgspec
import pytest

from shared.worker.json_values import MOST_ITEMS, TooManyItems, decode_json, encode, encode_json, items_of


@dataclasses.dataclass
class Point:
    x: float


class Star(msgspec.Struct):
    flux: float


@attrs.define(slots=False)
class Galaxy:
    z: float


class Band(enum.Enum):
    RED = float("nan")


NAN, INF = float("nan"), float("inf")


def with_more(value: Any) -> Any:
    value.more = NAN
    return value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (NAN, "$: nan is no number in JSON"),
        (-INF, "$: -inf is no number"),
        ({"a": [None, "null", 2, INF]}, "$.a[3]: inf is no number"),
        ((1, {"b": (NAN,)}), "$[1].b[0]: nan"),
        ({NAN: 1}, "$, a key: nan"),
        ({INF: 1}, "$, a key: inf"),
        (Point(NAN), "$.x: nan"),
        ([Star(1.0), Star(NAN)], "$[1].flux: nan"),
        ([Galaxy(1.0), Galaxy(NAN)], "$[1].z: nan"),
        (with_more(Galaxy(1.0)), "$.more: nan"),
        ({Band.RED: 1}, "$, a key: nan"),
        ({"band": Band.RED}, "$.band: nan"),
        ({"n": -(10**5000)}, "$.n: an integer of about 5000 digits"),
        (["caf\udce9"], "$[0]: the character '\\udce9' cannot be encoded"),
        ({"caf\udce9": 1}, "$, a key: the character"),
        (object(), "$: Encoding objects of type object is unsupported"),
        ({"a": {1j}}, "$: Encoding objects of type complex is unsupported"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(value: Any, place: str) -> None:
    with pytest.raises(ValueError, match=r"^\$") as refused:
        encode(value)
    assert str(refused.value).startswith(place)


def test_what_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="nested too deep"):
        encode(value)


@pytest.mark.parametrize(
    "value",
    [None, [None, "nan", "null"], {"inf": None, "x_inf": "-inf"}, 2**64, -(2**63) - 1, 10**4299, 1e308, [True, False]],
)
def test_what_json_can_say_comes_back_as_it_was(value: Any) -> None:
    assert decode_json(encode_json(value)) == value


def test_bytes_go_as_they_are_and_moments_as_text() -> None:
    assert encode(memoryview(b"abcd")[::2]) == b"ac"
    assert encode(datetime.date(2026, 11, 30)) == b'"2026-11-30"'


@pytest.mark.parametrize("digits", [4300, 4301, 5000, 16_000])
def test_integers_of_any_length_are_read(digits: int) -> None:
    value = decode_json(b'{"a": [-%s, 1.5]}' % (b"9" * digits))
    assert value == {"a": [-(10**digits) + 1, 1.5]}


def test_an_integer_that_would_take_too_long_to_read_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_json(b"9" * 100_000)


def test_what_is_nested_as_deep_as_json_can_say_is_no_fault_and_a_fault_is_found_there() -> None:
    value: Any = [None]
    for _ in range(900):
        value = [value]
    assert decode_json(encode_json(value)) == value
    value = [None, NAN]
    for _ in range(900):
        value = [value]
    with pytest.raises(ValueError, match=r"^\$(\[0\]){900}\[1\]: nan is no number"):
        encode(value)


def test_what_contains_itself_beside_what_cannot_be_encoded_is_refused() -> None:
    value: list[Any] = [{(1, 2): 3}]
    value.append(value)
    with pytest.raises(ValueError, match="Only dicts"):
        encode(value)


def test_numbers_in_what_msgpack_cannot_say_are_found_too() -> None:
    assert encode_json([2**70, None]) == b"[1180591620717411303424,null]"
    with pytest.raises(ValueError, match=r"^\$\[1\]: nan"):
        encode([2**70, NAN])


def test_what_merely_looks_like_no_number_is_none() -> None:
    value = [None, b"\xcb\x7f\xf0", uuid.uuid4(), decimal.Decimal("NaN"), datetime.timedelta(1), Galaxy(1.0)]
    assert encode_json(value) == msgspec.json.encode(value)


def test_a_long_value_with_ordinary_nulls_is_not_looked_through() -> None:
    """In the loop of a worker: only what may lack a number is, and not there if it takes long."""
    records = [{"a": None, "b": 0.5} for _ in range(MOST_ITEMS)]
    assert encode(records, MOST_ITEMS) == msgspec.json.encode(records)
    for last in (NAN, object()):
        with pytest.raises(TooManyItems):
            encode([*records, last], MOST_ITEMS)
    with pytest.raises(ValueError, match=rf"^\$\[{MOST_ITEMS}\]: nan"):
        encode([*records, NAN])


def test_a_type_whose_numbers_are_not_known_is_refused_where_one_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "shared.worker.json_values.items_of", lambda value: None if isinstance(value, Star) else items_of(value)
    )
    with pytest.raises(ValueError, match=r"^\$\[0\]: Star is no type"):
        encode([Star(NAN)])
