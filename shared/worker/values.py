"""What a function hands over as JSON: encoded, or refused with the place in it that JSON cannot say."""

import dataclasses
import enum
import json
import math
from typing import Any

import msgspec

_KEPT = 64 * 1024
"""Characters of JSON in which integers of any length are decoded: to read one takes the square of its length."""
_DIGITS = 4000
"""Digits that Python turns into an integer in one go (its limit is 4,300, as msgspec's is)."""


def encode(value: Any) -> bytes:
    """Bytes as they are, anything else as JSON. ValueError with the place in it if it would not come back as it was."""
    if value is None:  # what most functions return that return nothing
        return b"null"
    return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else encode_json(value)


def encode_json(value: Any) -> bytes:
    """A value as JSON; ValueError as `encode`: `$.a[3]: nan is no number in JSON`."""
    try:
        data = msgspec.json.encode(value)
    except RecursionError:
        raise ValueError("it is nested too deep, or contains itself") from None
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise ValueError(_fault(value, "$") or f"$: {error}") from None
    # Not a number and infinity are encoded as null (as a key by name), without a word.
    suspect = value is not None and (b"null" in data or b'nan"' in data or b'inf"' in data)
    if suspect and (fault := _fault(value, "$")):
        raise ValueError(fault)
    return data


def decode_json(data: bytes) -> Any:
    """The value of a JSON text; integers of more than 4,300 digits too, where the text is not too long."""
    try:
        return msgspec.json.decode(data)
    except msgspec.ValidationError:
        if len(data) > _KEPT:
            raise
        return json.loads(data, parse_int=_integer)


def _integer(text: str) -> int:
    value = 0
    digits = text.lstrip("-")
    for start in range(0, len(digits), _DIGITS):
        piece = digits[start : start + _DIGITS]
        value = value * 10 ** len(piece) + int(piece)
    return -value if text.startswith("-") else value


def _fault(value: Any, path: str) -> str:
    """The first place that JSON cannot say, and why not; empty if there is none that is known here."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{path}: {float(value)} is no number in JSON"
    if isinstance(value, int):
        return _digits(value, path)
    if isinstance(value, str):
        return _surrogate(value, path)
    if isinstance(value, dict):
        entries = (_fault(key, f"{path}, a key") or _fault(item, f"{path}.{key}") for key, item in value.items())
        return next(filter(None, entries), "")
    if isinstance(value, (list, tuple, set, frozenset)):
        return next(filter(None, (_fault(item, f"{path}[{n}]") for n, item in enumerate(value))), "")
    if isinstance(value, enum.Enum):
        return _fault(value.value, path)
    names: tuple[str, ...] = ()
    if isinstance(value, msgspec.Struct):
        names = value.__struct_fields__
    elif dataclasses.is_dataclass(value):
        names = tuple(field.name for field in dataclasses.fields(value))
    return next(filter(None, (_fault(getattr(value, name, None), f"{path}.{name}") for name in names)), "")


def _digits(value: int, path: str) -> str:
    try:
        str(int(value))
    except ValueError:
        return f"{path}: an integer of about {round(value.bit_length() * math.log10(2))} digits (the most is 4,300)"
    return ""


def _surrogate(text: str, path: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{path}: the character {text[error.start]!a} cannot be encoded"
    return ""
