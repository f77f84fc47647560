"""What a list costs the database, decided before it is asked.

The unit is what it takes to compare a UUID or a number that lies in the row: about 0.7 ms for each 100,000 tasks looked at.
The weights were measured so (PostgreSQL 18, 2 cores, one list at a time); what matters is their proportion.
"""

from typing import Final

from shared.contracts.compute import filters as f
from shared.contracts.errors import Invalid

MOST: Final = 512
"""Units of one list: a third of a second for 100,000 tasks."""
_KINDS: Final = {"id": 1, "flag": 1, "time": 2, "text": 2, "number": 5, "status": 5, "ids": 8, "texts": 8}
_SEARCHES: Final = {"contains": 6, "!contains": 6, "starts": 6, "ends": 20}
"""Cost of searching in a text, whatever its field."""
_FIELDS: Final = {
    "name": 14,
    "partition": 75,
    "created_at": 75,
    "labels.*": 12,
    **{f"application_{part}": 4 for part in ("name", "version", "namespace", "service")},
}
"""Cost of getting at a field of a task that does not lie in the row as it is compared. Those of sessions (`options.…`) are few."""
_IN: Final = 16
"""Values of a list that cost as much as one comparison."""


def check(fields: dict[str, str], where: f.Where, sort: str = "") -> None:
    """Invalid, if the list would cost too much. What is not a field costs nothing here: it is refused elsewhere."""
    found = cost(fields, where, sort)
    if found > MOST:
        raise Invalid(
            f"these conditions cost {found} units, of which a list may take {MOST}: say fewer, compare instead of searching, "
            "use `in` for many values of one field",
            field="where" if where else "sort",
        )


def cost(fields: dict[str, str], where: f.Where, sort: str = "") -> int:
    """Units, for each 100,000 rows or so."""
    ordered = _field(fields, sort.removeprefix("-"))[1] if sort.removeprefix("-") not in ("", "id") else 0
    return ordered + sum(_condition(fields, one) for group in where for one in group)


def _condition(fields: dict[str, str], one: f.Condition) -> int:
    kind, reach = _field(fields, one.field)
    compare = _SEARCHES.get(one.op, _KINDS[kind]) if kind == "text" else _KINDS.get(kind, 0)
    many = len(one.value) // _IN if isinstance(one.value, list) else 0
    return compare + reach + many


def _field(fields: dict[str, str], name: str) -> tuple[str, int]:
    """A field's kind, and what it takes to get at it."""
    try:
        entry, kind = f.kind_of(fields, name)
    except KeyError:
        return "", 0
    return kind, _FIELDS.get(entry, 0) if fields is f.TASK_FIELDS else 0
