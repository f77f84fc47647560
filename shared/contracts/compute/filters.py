"""Which tasks, results or sessions a list shows, and in which order.

`where` is an OR of ANDs: `[[a, b], [c]]` is what fits a and b, or c; none: all. `sort` is a field, `-` before it turns the
order round. A field's kind says what it is compared with, and how:

| kind     | value                                   | operators                                   |
|----------|-----------------------------------------|---------------------------------------------|
| `text`   | a string; what has none counts as empty | `=` `!=` `contains` `!contains` `starts` `ends` `in` |
| `number` | a number, or null: not set              | `=` `!=` `<` `<=` `>` `>=` `in`             |
| `time`   | RFC 3339 with a zone, or null: not yet  | `=` `!=` `<` `<=` `>` `>=` `in`             |
| `id`     | a UUID, or null: none                   | `=` `!=` `in`                               |
| `status` | a state's name                          | `=` `!=` `in`                               |
| `flag`   | true or false                           | `=` `!=`                                    |
| `ids`, `texts` | one of many                       | `contains` `!contains`                      |

`in` takes a list of such values, without null. Nothing is less or greater than what is not set; in a sorted list that comes after
everything else. `ids` and `texts` cannot be sorted by. A field that ends in `*` stands for all that begin so: `labels.*` for
`labels.night`.

What a list may cost the database is limited, and what costs more is refused before it is asked (services/scheduler/compute/lists/cost.py): there is
room for 512 comparisons of ids, 256 of texts, 85 of `contains` in a text, 6 of `partition` or `created_at` in one list.
"""

from typing import Annotated, Final, Literal

import msgspec

Op = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "!contains", "starts", "ends", "in"]
Number = Annotated[int, msgspec.Meta(ge=-(10**18), le=10**18)]
Scalar = str | Number | float | bool | None


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`field` `op` `value`."""

    field: Annotated[str, msgspec.Meta(min_length=1, max_length=300)]
    value: Scalar | list[str | Number | float]
    op: Op = "="


Where = Annotated[
    list[Annotated[list[Condition], msgspec.Meta(max_length=64)]],
    msgspec.Meta(
        max_length=256,
        description="Only what fits: an OR of ANDs of conditions. "
        'Example: [[{"field": "status", "value": "error"}, {"field": "priority", "op": ">", "value": 5}]]',
    ),
]
Sort = Annotated[
    str,
    msgspec.Meta(
        max_length=300,
        description="The field that the list is sorted by, with - before it for the other way round. Example: -ended_at",
    ),
]

_SAME: Final = ("=", "!=")
_ORDERED: Final = ("=", "!=", "<", "<=", ">", ">=", "in")
_MEMBERS: Final = ("contains", "!contains")
OPS: Final[dict[str, tuple[str, ...]]] = {
    "text": ("=", "!=", "contains", "!contains", "starts", "ends", "in"),
    "number": _ORDERED,
    "time": _ORDERED,
    "id": (*_SAME, "in"),
    "status": (*_SAME, "in"),
    "flag": _SAME,
    "ids": _MEMBERS,
    "texts": _MEMBERS,
}
_APPLICATION: Final = {f"application_{part}": "text" for part in ("name", "version", "namespace", "service")}
TASK_FIELDS: Final[dict[str, str]] = {
    "id": "id",
    "name": "text",
    "submission": "id",
    "parent": "id",
    "status": "status",
    "attempt": "number",
    "remaining": "number",
    "inputs": "ids",
    "outputs": "ids",
    "payload_result": "id",
    "partition": "text",
    "function": "text",
    "priority": "number",
    "max_retries": "number",
    "max_duration": "number",
    **_APPLICATION,
    "labels.*": "text",
    "worker": "text",
    "error": "text",
    "created_at": "time",
    "started_at": "time",
    "ended_at": "time",
}
RESULT_FIELDS: Final[dict[str, str]] = {
    "id": "id",
    "name": "text",
    "status": "status",
    "owner_task": "id",
    "opaque": "text",
    "size": "number",
    "created_at": "time",
    "completed_at": "time",
    "checksum": "text",
    "owned": "flag",
}
SESSION_FIELDS: Final[dict[str, str]] = {
    "id": "id",
    "name": "text",
    "status": "status",
    "owner": "text",
    "partitions": "texts",
    "client_submission": "flag",
    "worker_submission": "flag",
    "created_at": "time",
    "closed_at": "time",
    "cancelled_at": "time",
    "purged_at": "time",
    "expires_at": "time",
    "version": "number",
    "options.partition": "text",
    "options.function": "text",
    "options.priority": "number",
    "options.max_retries": "number",
    "options.max_duration": "number",
    **{f"options.{name}": kind for name, kind in _APPLICATION.items()},
    "options.labels.*": "text",
}


def kind_of(fields: dict[str, str], name: str) -> tuple[str, str]:
    """A field's entry in its table, and its kind: (`labels.*`, `text`) for `labels.night`; KeyError if there is none."""
    if name in fields and not name.endswith(".*"):
        return name, fields[name]
    for entry, kind in fields.items():
        if entry.endswith(".*") and name.startswith(entry[:-1]) and name != entry[:-1]:
            return entry, kind
    raise KeyError(name)
