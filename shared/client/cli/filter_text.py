"""Filters as people write them: `status=error,priority>5` is an AND; repeated, an OR."""

import json
import re
from collections.abc import Sequence
from typing import Any

from shared.client.errors import UsageError
from shared.contracts.compute.filters import kind_of

_PARTS = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_SIGN = re.compile(r"^([^=!<>]+?)\s*(!=|<=|>=|=|<|>)\s*(.*)$", re.DOTALL)
_WORD = re.compile(r"^(.+?)\s+(!contains|contains|starts|ends|in)\s+(.*)$", re.DOTALL)
_NULLS = frozenset({"number", "time", "id"})


def parse_filter(texts: Sequence[str], fields: dict[str, str]) -> str | None:
    """The filter as JSON, None if there is none; UsageError says what is not understood. `fields`: their kinds."""
    if not texts:
        return None
    return json.dumps([[_condition(part.strip(), fields) for part in _split(text)] for text in texts])


def _split(text: str) -> list[str]:
    parts = _PARTS.findall(text)
    if not parts or ",".join(parts) != text:
        raise UsageError(
            f"--where {text!r}: write conditions with commas between them, such as status=error,priority>5"
        )
    return parts


def _condition(text: str, fields: dict[str, str]) -> dict[str, Any]:
    found = _WORD.match(text) or _SIGN.match(text)
    if found is None:
        raise UsageError(f"--where {text!r}: write <field><operator><value>, such as priority>5 or error contains disk")
    field, op, value = found.groups()
    try:
        _, kind = kind_of(fields, field)
    except KeyError:
        raise UsageError(f"--where {text!r}: there is no field {field!r}; there are: {', '.join(fields)}") from None
    read = [_value(kind, one.strip(), text) for one in value.split("|")] if op == "in" else _value(kind, value, text)
    return {"field": field, "op": op, "value": read}


def _value(kind: str, value: str, text: str) -> Any:
    if value.startswith('"'):
        try:
            return json.loads(value)
        except ValueError:
            raise UsageError(f"--where {text!r}: {value} is not a string in quotes") from None
    if value == "null" and kind in _NULLS:
        return None
    if kind == "flag":
        return {"true": True, "false": False}.get(value, value)
    if kind != "number":
        return value
    try:
        return int(value) if re.fullmatch(r"-?\d+", value) else float(value)
    except ValueError:
        raise UsageError(f"--where {text!r}: {value!r} is not a number") from None
