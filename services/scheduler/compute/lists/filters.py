"""Filters and orders as SQL: fixed pieces joined, every value a parameter.

SQL lives in .sql files here, but a query of any fields in any order has no one text. So its pieces are the tables of data
below, one for a field, one for an operator, and nothing that a user says is ever part of them. lists.sql has what is around.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from services.scheduler.compute.lists.places import Place
from services.scheduler.machine import MACHINES
from shared.contracts.compute import filters as f
from shared.contracts.errors import Invalid
from shared.contracts.states import ResultStatus, SessionStatus, TaskStatus
from shared.db.sql import load

PIECES: Final = load(__file__, "pieces.sql", MACHINES)
_APPLICATION: Final = {
    f"application_{part}": f"coalesce(t.application ->> '{part}', '')"
    for part in ("name", "version", "namespace", "service")
}
TASK: Final[dict[str, str]] = {
    "id": "t.id",
    "name": "t.id::text || CASE WHEN t.attempt > 0 THEN '###' || t.attempt ELSE '' END",
    "submission": "s.lo",
    "parent": "t.parent",
    "status": "{seen}",
    "attempt": "t.attempt",
    "remaining": "t.remaining",
    "inputs": "t.inputs",
    "outputs": "t.outputs",
    "payload_result": "t.payload_result",
    "partition": "(SELECT p.name FROM partitions p WHERE p.id = t.partition)",
    "function": "t.function",
    "priority": "t.priority",
    "max_retries": "t.max_retries",
    "max_duration": "nullif(t.max_duration, 0)",
    **_APPLICATION,
    "labels.*": "coalesce(t.labels ->> {name}, '')",
    "worker": "coalesce(t.worker, '')",
    "error": "coalesce(t.error, '')",
    "created_at": "to_timestamp(('x' || translate(left(t.id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)",
    "started_at": "t.started_at",
    "ended_at": "t.ended_at",
}
"""A task `t` of the span of ids `s` that its submission has."""
SEEN: Final[dict[SessionStatus, str]] = {
    SessionStatus.RUNNING: PIECES.seen_running.text,
    SessionStatus.PAUSED: PIECES.seen_paused.text,
}
"""A task's state as users see it, by its session's: what `tasks.status.status_of` says of one row. In others it is `t.status`."""
RESULT: Final[dict[str, str]] = {
    "id": "r.id",
    "name": "r.name",
    "status": "r.status",
    "owner_task": "r.owner",
    "opaque": PIECES.opaque.text,
    "size": "r.size",
    "created_at": "r.created_at",
    "completed_at": "r.completed_at",
    "checksum": "coalesce(encode(coalesce(r.checksum, sha256(r.data)), 'hex'), '')",
    "owned": "r.owned",
}
SESSION: Final[dict[str, str]] = {
    "id": "e.id",
    "name": "e.name",
    "status": "e.status",
    "owner": "e.owner",
    "partitions": "e.partitions",
    "client_submission": "e.client_submission",
    "worker_submission": "e.worker_submission",
    "created_at": "e.created_at",
    "closed_at": "e.closed_at",
    "cancelled_at": "e.cancelled_at",
    "purged_at": "e.purged_at",
    "expires_at": "e.expires_at",
    "version": "e.version",
    "options.partition": "coalesce(e.options ->> 'partition', '')",
    "options.function": "coalesce(e.options ->> 'function', '')",
    "options.priority": "(e.options ->> 'priority')",
    "options.max_retries": "(e.options ->> 'max_retries')",
    "options.max_duration": "(e.options ->> 'max_duration')",
    **{f"options.{name}": f"coalesce(e.options ->> '{name}', '')" for name in _APPLICATION},
    "options.labels.*": "coalesce(e.options -> 'labels' ->> {name}, '')",
}

_TYPES: Final = {
    "text": "text",
    "number": "numeric",
    "time": "timestamptz",
    "id": "uuid",
    "status": "smallint",
    "flag": "boolean",
    "ids": "uuid",
    "texts": "text",
}
_PLAIN: Final = {op: f"{{x}} {op} {{v}}" for op in ("=", "<", "<=", ">", ">=")} | {
    "!=": "{x} IS DISTINCT FROM {v}",
    "in": "{x} = ANY({v})",
}
_TEXT: Final = {
    "contains": "strpos({x}, {v}) > 0",
    "!contains": "strpos({x}, {v}) = 0",
    "starts": "starts_with({x}, {v})",
    "ends": "right({x}, length({v})) = {v}",
}
_MEMBER: Final = {
    "contains": "coalesce({v} = ANY({x}), false)",
    "!contains": "NOT coalesce({v} = ANY({x}), false)",
}
_LAST: Final = {
    "text": '({x}) COLLATE "C"',
    "number": "coalesce({x}, 'Infinity'::numeric)",
    "time": "coalesce({x}, 'infinity'::timestamptz)",
    "id": "coalesce({x}, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)",
    "status": "({x})::smallint",
    "flag": "{x}",
}
"""What a list is sorted by: never NULL, so that it can be compared with where the last page ended."""


class Table(msgspec.Struct, frozen=True):
    """What is listed: its fields' kinds, their SQL, the states that it can be in."""

    fields: dict[str, str]
    pieces: dict[str, str]
    states: Any


TASKS: Final = Table(f.TASK_FIELDS, TASK, TaskStatus)
RESULTS: Final = Table(f.RESULT_FIELDS, RESULT, ResultStatus)
SESSIONS: Final = Table(f.SESSION_FIELDS, SESSION, SessionStatus)


class Order(msgspec.Struct, frozen=True):
    """What a list is sorted by. `key`: SQL; `type`: its SQL type."""

    field: str
    down: bool
    key: str
    type: str

    @property
    def direction(self) -> str:
        """As SQL says it."""
        return "DESC" if self.down else "ASC"


class Filter:
    """Puts conditions into SQL. `values` are those of the query's own `parameters`, then every value of a condition.

    `seen`: what `status` is, for tasks.
    """

    def __init__(self, table: Table, parameters: Sequence[str], seen: str = "") -> None:
        self._fields, self._pieces, self._states, self._seen = table.fields, table.pieces, table.states, seen
        self.values: list[object] = [None] * len(parameters)
        self._places = {name: place for place, name in enumerate(parameters)}

    def put(self, **values: object) -> None:
        """Sets parameters of the query by name."""
        for name, value in values.items():
            self.values[self._places[name]] = value

    def where(self, groups: f.Where, status: str = "") -> str:
        """SQL that is true of what fits; Invalid names the condition, such as `where[0][1].field`."""
        terms = []
        for i, group in enumerate(groups):
            found = [self._condition(one, f"where[{i}][{j}]") for j, one in enumerate(group)]
            terms.append(" AND ".join(found) or "true")
        both = [f"({' OR '.join(f'({term})' for term in terms)})"] if terms else []
        if status:
            value = self._add(self._state(status, "status"), "smallint")
            both.append(f"({self._pieces['status'].replace('{seen}', self._seen)}) = {value}")
        return " AND ".join(both) or "true"

    def order(self, sort: str, default: str) -> Order:
        """What `sort` says; Invalid if it names no field that can be sorted by."""
        text = sort or default
        name = text.removeprefix("-")
        kind, x = self._look(name, "sort")
        if kind not in _LAST:
            raise Invalid(f"{name!r} has many values: nothing is sorted by it", field="sort")
        key = x if name == "id" else _LAST[kind].format(x=x)
        return Order(name, text.startswith("-"), key, _TYPES[kind])

    def after(self, order: Order, place: Place | None) -> str:
        """SQL that is true of what comes after the last page, which ended at `place`."""
        if place is None:
            return "true"
        sign, last = "<" if order.down else ">", self._add(place.last, "uuid")
        if order.field == "id":
            return f"{order.key} {sign} {last}"
        key = self._add(place.key, f"text::{order.type}")
        return f"({order.key}, {self._pieces['id']}) {sign} ({key}, {last})"

    def _condition(self, one: f.Condition, at: str) -> str:
        kind, x = self._look(one.field, f"{at}.field")
        if one.op not in f.OPS[kind]:
            raise Invalid(f"{one.field!r} is a {kind}: it knows {' '.join(f.OPS[kind])}", field=f"{at}.op")
        if one.op == "in":
            if not isinstance(one.value, list):
                raise Invalid("`in` takes a list of values", field=f"{at}.value")
            values = [self._value(kind, value, f"{at}.value[{k}]") for k, value in enumerate(one.value)]
            v = self._add(values, f"text[]::{_TYPES[kind]}[]" if kind == "number" else f"{_TYPES[kind]}[]")
            return f"({_PLAIN['in'].format(x=x, v=v)})"
        if one.value is None:
            if one.op not in ("=", "!=") or kind not in ("number", "time", "id"):
                raise Invalid(f"{one.field!r} {one.op} takes a {kind}, not null", field=f"{at}.value")
            return f"({x}) IS {'NOT ' if one.op == '!=' else ''}NULL"
        value = self._value(kind, one.value, f"{at}.value")
        v = self._add(value, "text::numeric" if kind == "number" else _TYPES[kind])
        known = _MEMBER if kind in ("ids", "texts") else _PLAIN | _TEXT
        return f"({known[one.op].format(x=x, v=v)})"

    def _look(self, name: str, at: str) -> tuple[str, str]:
        """A field's kind and its SQL."""
        try:
            entry, kind = f.kind_of(self._fields, name)
        except KeyError:
            raise Invalid(f"there is no field {name!r}; there are: {', '.join(self._fields)}", field=at) from None
        x = self._pieces[entry].replace("{seen}", self._seen)
        if "{name}" in x:
            x = x.replace("{name}", self._add(_text(name.removeprefix(entry[:-1]), at), "text"))
        return kind, f"({x})::numeric" if kind == "number" else f"({x})"

    def _add(self, value: object, type: str) -> str:
        self.values.append(value)
        return f"${len(self.values)}::{type}"

    def _value(self, kind: str, value: Any, at: str) -> object:
        if kind == "status":
            return self._state(value, at)
        return _READ[kind](value, at)

    def _state(self, value: Any, at: str) -> int:
        try:
            return int(self._states[_text(value, at).upper()])
        except KeyError:
            known = ", ".join(state.name.lower() for state in self._states)
            raise Invalid(f"{value!r} is not one of: {known}", field=at) from None


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str):
        raise Invalid("a string is expected", field=at)
    if "\x00" in value:
        raise Invalid("a string cannot have the character U+0000", field=at)
    return value


def _number(value: Any, at: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        raise Invalid("a number is expected", field=at)
    if abs(value) > 10**18:
        raise Invalid("a number of at most 18 digits is expected", field=at)
    return repr(value)


def _time(value: Any, at: str) -> datetime:
    try:
        found = datetime.fromisoformat(_text(value, at))
        if found.tzinfo is not None:
            return found.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid("a time with its zone is expected, such as 2026-03-01T12:00:00Z", field=at)


def _id(value: Any, at: str) -> UUID:
    try:
        return UUID(_text(value, at))
    except ValueError:
        raise Invalid("a UUID is expected", field=at) from None


def _flag(value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise Invalid("true or false is expected", field=at)
    return value


_READ: Final[dict[str, Callable[[Any, str], object]]] = {
    "text": _text,
    "number": _number,
    "time": _time,
    "id": _id,
    "flag": _flag,
    "ids": _id,
    "texts": _text,
}
