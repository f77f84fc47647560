"""SQL in files: what the loader replaces, and what it must not touch."""

from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from shared.db.render import render_query, render_states, state_names
from shared.db.sql import Queries
from shared.runtime.machine import Machine


class Door(IntEnum):
    OPEN = 1
    SHUT = 2
    LOCKED_UP = 3


DOOR: Machine[Door] = Machine(
    "door",
    Door.OPEN,
    {
        "shut": (frozenset({Door.OPEN}), Door.SHUT),
        "lock": (frozenset({Door.OPEN, Door.SHUT}), Door.LOCKED_UP),
    },
    kind=Door,
    sets={"unlocked": frozenset({Door.SHUT, Door.OPEN})},
)
NAMES = state_names([DOOR])


class Connection:
    """Notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def fetchval(self, text: str, *values: object) -> None:
        self.asked.append((text, *values))

    async def executemany(self, text: str, rows: object) -> None:
        self.asked.append((text, rows))


def query(text: str) -> tuple[str, tuple[str, ...]]:
    return render_query(text, NAMES, "here")


def test_parameters_are_numbered_in_the_order_in_which_they_first_stand() -> None:
    assert query("SELECT :b, :a, :b WHERE x=:c AND y IN (:a)") == (
        "SELECT $1, $2, $1 WHERE x=$3 AND y IN ($2)",
        ("b", "a", "c"),
    )


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("SELECT ':a', 'it''s :a', :b", "SELECT ':a', 'it''s :a', $1"),
        (r"SELECT E'it\'s :a', :b", r"SELECT E'it\'s :a', $1"),
        ("-- don't :a\nSELECT :b -- :a", "-- don't :a\nSELECT $1 -- :a"),
        ("/* it's :a,\n :a */ SELECT :b", "/* it's :a,\n :a */ SELECT $1"),
        ('SELECT "a:a", :b', 'SELECT "a:a", $1'),
        ("DO $$ BEGIN x := :a; y := $1; END $$; SELECT :b", "DO $$ BEGIN x := :a; y := $1; END $$; SELECT $1"),
        ("SELECT $x$ $$ :a $$ $x$, :b", "SELECT $x$ $$ :a $$ $x$, $1"),
        ("SELECT x::text, :b::uuid[], '1'::int", "SELECT x::text, $1::uuid[], '1'::int"),
        ("SELECT f(a := 1, b := :b)", "SELECT f(a := 1, b := $1)"),
        ("SELECT a[1:2], a[1:n], a[lo:hi], a[(:b)], a[1:(:b)]", "SELECT a[1:2], a[1:n], a[lo:hi], a[($1)], a[1:($1)]"),
        ("SELECT f(x)[1:n], :b", "SELECT f(x)[1:n], $1"),
        ("SELECT x->>'a' FROM t WHERE l @> :b", "SELECT x->>'a' FROM t WHERE l @> $1"),
    ],
    ids=lambda text: text[:25],
)
def test_what_is_no_parameter_is_left_alone(text: str, rendered: str) -> None:
    assert query(text) == (rendered, ("b",) if ":b" in text else ())


def test_a_slice_that_could_be_a_parameter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"here: write \[\(:name\)\]"):
        query("SELECT a[:n]")


def test_states_and_sets_become_numbers() -> None:
    assert query("SET s = {door.locked_up} WHERE s IN ({door.unlocked}) AND s <> :s")[0] == (
        "SET s = 3 WHERE s IN (1, 2) AND s <> $1"
    )
    assert query("SELECT '{}'::text[], '{door.open}', {where} -- {door.gone}")[0] == (
        "SELECT '{}'::text[], '{door.open}', {where} -- {door.gone}"
    )


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE t SET status = 2",
        "x.status IN (1, 2)",
        "archive_state >= 3",
        "CASE t.status WHEN 1 THEN 2 END",
        "phase <> 2",
    ],
)
def test_a_state_by_its_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="here: name the state"):
        query(text)
    with pytest.raises(ValueError, match="here: name the state"):
        render_states(f"AS $$ {text} $$", NAMES, "here")
    assert query(f"'{text}' -- {text}")[0] == f"'{text}' -- {text}"


def test_functions_have_states_in_their_bodies_and_no_parameters() -> None:
    text = "CREATE FUNCTION f() AS $$ BEGIN -- it's {door.x}\n a := b[1:n] = {door.shut} || '{door.shut}'; END $$"
    assert render_states(text, NAMES, "f.sql") == text.replace("= {door.shut}", "= 2")


def test_an_unknown_state_names_the_file_the_block_and_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "queries.sql"
    file.write_text("-- name: one\nSELECT 1;\n-- name: two\nSELECT {door.ajar};\n")
    with pytest.raises(ValueError, match=r"queries\.sql, two: there is no \{door\.ajar\}; there is .*door\.unlocked"):
        Queries(file, [DOOR])
    with pytest.raises(ValueError, match=r"no \{door\.ajar\}; there is no machine here"):
        Queries(file)
    with pytest.raises(ValueError, match=r"f\.sql: there is no \{window\.open\}; there is door$"):
        render_states("SELECT {window.open}", NAMES, "f.sql")
    with pytest.raises(ValueError, match=r"no \{door\.unlocked\}"):
        render_states("SELECT {door.unlocked}", state_names([DOOR], sets=False), "0001.sql")


def test_a_set_has_states_and_a_name_of_its_own() -> None:
    for name, states in (("shut", {Door.OPEN}), ("none", set())):
        with pytest.raises(ValueError, match=f"door.{name}"):
            Machine("door", Door.OPEN, {}, kind=Door, sets={name: frozenset(states)})


def test_a_parameter_by_its_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"here: parameters have names, :name, not \$1"):
        query("SELECT $1")


async def test_a_call_passes_every_parameter_by_keyword(tmp_path: Path) -> None:
    file = tmp_path / "queries.sql"
    file.write_text("-- name: none\nSELECT 1;\n-- name: one\nSELECT :a;\n-- name: two\nSELECT :b, :a, :b;\n")
    queries, connection = Queries(file), Connection()
    await queries.none.fetchval(connection)
    await queries.one.fetchval(connection, a=[1])
    await queries.two.fetchval(connection, a=1, b=2)
    await queries.two.executemany(connection, [{"a": 1, "b": 2}, {"b": 4, "a": 3}])
    assert connection.asked == [
        ("SELECT 1",), ("SELECT $1", [1]), ("SELECT $1, $2, $1", 2, 1), ("SELECT $1, $2, $1", [(2, 1), (4, 3)])
    ]  # fmt: skip
    for values in ({}, {"a": 1}, {"a": 1, "b": 2, "c": 3}, {"a": 1, "c": 3}):
        with pytest.raises(TypeError, match=r"query two: .* missing or too many; it takes b, a"):
            await queries.two.fetchval(connection, **values)


def test_queries_are_named_and_an_unknown_one_says_where(tmp_path: Path) -> None:
    file = tmp_path / "queries.sql"
    file.write_text("-- about\n\n-- name: one\nSELECT 1;\n\n-- name: two\n-- why\nSELECT\n  2;\n")
    queries = Queries(file)
    assert {query.name: query.text for query in queries} == {"one": "SELECT 1", "two": "-- why\nSELECT\n  2"}
    assert queries["one"] is queries.one
    with pytest.raises(KeyError, match=r"three.*queries\.sql"):
        queries["three"]
    with pytest.raises(AttributeError, match=r"three.*queries\.sql"):
        _ = queries.three
    file.write_text("-- name: one\nSELECT 1;\n-- name: one\nSELECT 2;\n")
    with pytest.raises(ValueError, match="twice"):
        Queries(file)
