"""Filters as SQL: every field that the contracts name has its piece, and nothing that a user says becomes SQL."""

import re
from typing import Any

import pytest

from services.scheduler.compute.lists import filters, lists
from shared.contracts.compute import Condition
from shared.contracts.compute import filters as f

TABLES = {"tasks": filters.TASKS, "results": filters.RESULTS, "sessions": filters.SESSIONS}


@pytest.mark.parametrize("name", TABLES)
def test_every_field_has_a_kind_and_a_piece(name: str) -> None:
    table = TABLES[name]
    assert list(table.fields) == list(table.pieces)
    assert set(table.fields.values()) <= set(f.OPS)
    assert ("{name}" in "".join(table.pieces.values())) == any(field.endswith(".*") for field in table.fields)


EVIL = "'; DROP TABLE tasks; --"
VALUES: dict[str, Any] = {
    "text": EVIL,
    "number": 7,
    "time": "2026-03-01T12:00:00Z",
    "id": "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f",
    "flag": True,
    "ids": "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f",
    "texts": EVIL,
}


@pytest.mark.parametrize("name", TABLES)
def test_what_users_say_is_never_part_of_the_text(name: str) -> None:
    table = TABLES[name]
    for entry, kind in table.fields.items():
        field = entry.replace("*", EVIL)
        for op in f.OPS[kind]:
            one = next(iter(table.states)).name if kind == "status" else VALUES[kind]
            value = [one] if op == "in" else one
            filter = filters.Filter(table, ["first"], "t.status")
            text = filter.where([[Condition(field, value, op)]])  # type: ignore[arg-type]
            assert "DROP" not in text
            assert "{" not in text
            used = {int(number) for number in re.findall(r"\$(\d+)", text)}
            assert used == set(range(2, len(filter.values) + 1))
        if kind not in ("ids", "texts"):
            assert "DROP" not in filters.Filter(table, [], "t.status").order(f"-{field}", "id").key


def test_no_list_leaves_a_brace() -> None:
    for name, table in TABLES.items():
        filter = filters.Filter(table, [], "t.status")
        order = filter.order("", "id")
        assert not re.search(r"\{\w+\}", lists.list_query(name, order, "t.id", "true", "true", "t.status"))
