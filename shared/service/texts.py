"""Texts that PostgreSQL cannot hold are refused where a request is decoded, by the name of their field.

Of what JSON can say that is U+0000 alone: a lone surrogate is no JSON for the decoder. Bytes and raw JSON are kept as they are.
"""

from typing import Any

import msgspec

from shared.contracts.errors import Invalid

_ESCAPED = b"\\u0000"


def check_texts(value: Any, data: bytes, at: str = "") -> None:
    """Invalid, if a text of `value`, which was decoded from `data`, has U+0000 in it; the field is where, below `at`."""
    if _ESCAPED in data and (place := nul(value, at)) is not None:
        raise Invalid("a text cannot have the character U+0000", field=place)


def nul(value: Any, at: str = "") -> str | None:
    """The place of the first text with U+0000 in it."""
    if isinstance(value, str):
        return at if "\x00" in value else None
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        return _first((f"{at}.{shown}".lstrip("."), getattr(value, name)) for name, shown in names)
    if isinstance(value, dict):
        if any(isinstance(key, str) and "\x00" in key for key in value):
            return at
        return _first((f"{at}.{key}".lstrip("."), each) for key, each in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return _first((f"{at}[{n}]", each) for n, each in enumerate(value))
    return None


def _first(places: Any) -> str | None:
    for at, value in places:
        if (found := nul(value, at)) is not None:
            return found
    return None
