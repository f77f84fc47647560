"""Values of functions as JSON: encoded, or refused with the place in them that JSON has no form for."""

import dataclasses
import datetime
import decimal
import enum
import json
import math
import re
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

_LONG_INTEGERS = 64 * 1024
"""Characters of JSON in which integers of any length are decoded: to read one takes the square of its length."""
_DIGITS = 4000
"""Digits that Python turns into an integer in one go (its limit is 4,300, as msgspec's is)."""

MOST_ITEMS = 10_000
"""Items of a value that are looked through in a worker's loop, which takes about 10 ms."""
_no_number = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search
"""Not a number or infinity in MessagePack. Other values may look like it; these never look otherwise."""
_LEAVES = (
    *(bytes, bytearray, memoryview, msgspec.Raw, msgspec.UnsetType, uuid.UUID, decimal.Decimal),
    *(datetime.date, datetime.time, datetime.timedelta),
)
"""Further types that have a form in JSON, and no numbers in them."""


class TooManyItems(Exception):
    """The value has too many items to look through here: encode it in a thread, without a bound."""


def encode(value: Any, most: float = math.inf) -> bytes:
    """Bytes as they are, anything else as JSON. ValueError with the place in it if it would not come back as it was.

    TooManyItems, if more than `most` items have to be looked at to know.
    """
    if value is None:  # what most functions return that return nothing
        return b"null"
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else encode_json(value, most)


def encode_json(value: Any, most: float = math.inf) -> bytes:
    """A value as JSON; ValueError and TooManyItems as `encode`: `$.a[3]: nan is no number in JSON`."""
    try:
        data = msgspec.json.encode(value)
    except RecursionError:
        raise ValueError("it is nested too deep, or contains itself") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(_fault(value, most) or f"$: {error}") from None
    # Not a number and infinity are encoded as null (as a key by name), without a word.
    suspect = value is not None and (b"null" in data or b'nan"' in data or b'inf"' in data)
    if suspect and _may_have_nan(value) and (fault := _fault(value, most, encoded=True)):
        raise ValueError(fault)
    return data


def decode_json(data: bytes) -> Any:
    """The value of a JSON text; integers of more than 4,300 digits too, where the text is not too long."""
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        if len(data) > _LONG_INTEGERS:
            raise
        return json.loads(data, parse_int=_integer)


def _integer(text: str) -> int:
    value = 0
    digits = text.lstrip("-")
    for start in range(0, len(digits), _DIGITS):
        piece = digits[start : start + _DIGITS]
        value = value * 10 ** len(piece) + int(piece)
    return -value if text.startswith("-") else value


def _may_have_nan(value: Any) -> bool:
    """Whether it has to be looked through for NaN and infinity. Tried in C, in a fiftieth of the time."""
    try:
        return _no_number(msgspec.msgpack.encode(value)) is not None
    except Exception:  # it has what only JSON can say
        return True


def _fault(value: Any, most: float, *, encoded: bool = False) -> str:
    """The first place that JSON has no form for, and why; empty if there is none that is known here.

    encoded   it could be encoded: only numbers are looked for, and what is of no known type is a fault, as it may have some
    """
    names: list[str] = ["$"]
    within: list[tuple[str, Iterator[tuple[Any, Any]], int]] = [("{}", iter([("$", value)]), 0)]
    entered: set[int] = set()  # on the way to here: what contains itself is not entered again
    while within:
        form, items, entrance = within[-1]
        for name, item in items:
            most -= 1
            if most < 0:
                raise TooManyItems
            if (kind := type(item)) in (str, int) and encoded:
                continue
            if item is None or kind is bool:
                continue
            if isinstance(item, enum.Enum):
                item = item.value
            inner = items_of(item)
            if why := _leaf(item, encoded) if inner is None else _key(item):
                return "".join([*names[1:], form.format(name)]) + why
            if inner is not None and id(item) not in entered:
                entered.add(id(item))
                names.append(form.format(name))
                within.append((*inner, id(item)))
                break
        else:
            within.pop()
            names.pop()
            entered.discard(entrance)
    return ""


def items_of(value: Any) -> tuple[str, Iterator[tuple[Any, Any]]] | None:
    """How the path to an item of the value is written, and the items by name or number; None for a value without items."""
    if isinstance(value, dict):
        return ".{}", iter(value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[{}]", enumerate(value)
    names: Any = ()
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif hasattr(value, "__attrs_attrs__") and not isinstance(value, type):
        # Its instance's further attributes are encoded, too.
        names = {**dict.fromkeys(each.name for each in value.__attrs_attrs__), **getattr(value, "__dict__", {})}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
    else:
        return None
    return ".{}", ((name, getattr(value, name, None)) for name in names)


def _key(value: Any) -> str:
    for key in value if isinstance(value, dict) else ():
        if type(key) is not str or not key.isascii():
            key = key.value if isinstance(key, enum.Enum) else key
            if why := _leaf(key, False):
                return f", a key{why}"
    return ""


def _leaf(value: Any, encoded: bool) -> str:
    if value is None or isinstance(value, (bool, *_LEAVES)):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f": {float(value)} is no number in JSON"
    if isinstance(value, int):
        return _digits(value)
    if isinstance(value, str):
        return _surrogate(value)
    return f": {type(value).__name__} is no type whose numbers are known" if encoded else ""


def _digits(value: int) -> str:
    try:
        str(int(value))
    except ValueError:
        return f": an integer of about {round(value.bit_length() * math.log10(2))} digits (the most is 4,300)"
    return ""


def _surrogate(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f": the character {text[error.start]!a} cannot be encoded"
    return ""
