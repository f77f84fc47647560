"""Tokens of pages: they go on with the list that gave them, and with no other; what was made by hand is refused."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.scheduler.compute.lists import places
from services.scheduler.compute.lists.places import Place
from shared.contracts import compute as c
from shared.contracts.errors import Invalid
from shared.contracts.paging import Page
from shared.contracts.work import AttemptNumber
from shared.service.paging import parse_token, place_of, token_of

# The same in every process that collects these tests.
SESSION, LAST, OTHER = (UUID(f"019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6{n}") for n in "abc")
ASKED = c.TaskQuery(session=SESSION, sort="priority", where=[[c.Condition("function", "f")]])
PLACE = Place("7", LAST)


def behind(asked: Any, place: Any) -> Any:
    return msgspec.structs.replace(asked, token=token_of(asked, place))


def test_a_page_goes_on_where_the_last_one_ended() -> None:
    assert places.read(ASKED, "numeric") is None
    assert places.read(behind(ASKED, PLACE), "numeric") == PLACE
    larger = msgspec.structs.replace(behind(ASKED, PLACE), size=1000)
    assert places.read(larger, "numeric") == PLACE, "pages may differ in size"
    assert place_of(behind(Page(), "path/ü"), str) == "path/ü"


@pytest.mark.parametrize(
    "other",
    [
        {"session": OTHER},
        {"sort": "-priority"},
        {"sort": ""},
        {"status": "error"},
        {"where": []},
        {"where": [[c.Condition("function", "g")]]},
    ],
    ids=str,
)
def test_a_token_of_another_list_is_refused(other: dict[str, Any]) -> None:
    asked = msgspec.structs.replace(behind(ASKED, PLACE), **other)
    with pytest.raises(Invalid) as refused:
        places.read(asked, "numeric")
    assert refused.value.field == "token"


def test_a_token_of_another_kind_of_list_is_refused() -> None:
    asked = c.ResultQuery(session=SESSION, sort="priority", where=ASKED.where, token=token_of(ASKED, PLACE))
    with pytest.raises(Invalid):
        places.read(asked, "numeric")


def changed(token: str, at: int) -> str:
    raw = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[at] ^= 1
    return urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("at", [0, 8, 9, 12, -1])
def test_a_changed_token_is_refused(at: int) -> None:
    token = changed(token_of(ASKED, PLACE), at)
    with pytest.raises(Invalid):
        places.read(msgspec.structs.replace(ASKED, token=token), "numeric")


@pytest.mark.parametrize(
    "token",
    ["x", "abcd", "=", "🙂", "\x00", "a b", str(LAST), msgspec.json.encode(("priority", "7", LAST)).hex(), "A" * 5000],
)
def test_a_token_made_by_hand_is_refused(token: str) -> None:
    for read in (lambda asked: places.read(asked, "numeric"), lambda asked: place_of(asked, AttemptNumber)):
        with pytest.raises(Invalid) as refused:
            read(msgspec.structs.replace(ASKED, token=token))
        assert refused.value.field == "token"


@pytest.mark.parametrize(
    ("type", "key"),
    [
        ("numeric", "seven"),
        ("numeric", "1e999999999"),
        ("numeric", "9" * 41),
        ("timestamptz", "2026-13-01 00:00:00+00"),
        ("timestamptz", "2026-12-01 00:00:00"),
        ("timestamptz", "yesterday"),
        ("uuid", "7"),
        ("smallint", "99999"),
        ("smallint", "-1"),
        ("smallint", ""),
        ("boolean", "maybe"),
        ("text", "a\x00"),
    ],
)
def test_what_a_token_says_is_checked_though_its_digest_is_right(type: str, key: str) -> None:
    with pytest.raises(Invalid) as refused:
        places.read(behind(ASKED, Place(key, LAST)), type)
    assert refused.value.field == "token"


@pytest.mark.parametrize(
    ("type", "key"),
    [
        ("numeric", "-3.25"),
        ("numeric", "Infinity"),
        ("timestamptz", "2026-11-30 19:00:00.123456+00"),
        ("timestamptz", "2026-11-30 19:00:00+05:30"),
        ("timestamptz", "infinity"),
        ("uuid", str(LAST)),
        ("uuid", ""),
        ("smallint", "12"),
        ("boolean", "true"),
        ("text", ""),
    ],
)
def test_what_postgresql_writes_is_read(type: str, key: str) -> None:
    assert places.read(behind(ASKED, Place(key, LAST)), type) == Place(key, LAST)


@pytest.mark.parametrize("place", [-1, 32_768, "7", None, 1.5])
def test_a_number_has_the_columns_bounds(place: Any) -> None:
    with pytest.raises(Invalid):
        place_of(behind(Page(), place), AttemptNumber)


@pytest.mark.parametrize("token", ["x", "t", f"{{{LAST}}}", f"urn:uuid:{LAST}", LAST.hex, str(LAST).upper()])
def test_an_id_is_written_in_one_way(token: str) -> None:
    with pytest.raises(Invalid):
        parse_token(token)
    assert parse_token(str(LAST)) == LAST
    assert parse_token("") is None
