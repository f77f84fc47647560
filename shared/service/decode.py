"""Decoding what was asked: a Struct, or Invalid with the field that is wrong.

Texts that PostgreSQL cannot hold are refused here too. Of what JSON can say that is U+0000 alone: a lone surrogate is no JSON for
the decoder. Bytes and raw JSON are kept as they are.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shared.contracts.errors import Invalid
from shared.contracts.examples import with_example

MALFORMED: Final = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for bytes that are not what was asked for: also text that is not UTF-8, and JSON nested too deeply."""
NAMED: Final = re.compile(r"(?:unknown|required) field `([^`]*)`")
"""What msgspec says of a field beside the path to where it is, or should be."""
_ESCAPED_NUL: Final = b"\\u0000"


def decoder(request: Any) -> Callable[[bytes], Any]:
    """A function from a body to what `request` (a type) says; `bytes` leaves the body as it is. It raises Invalid."""
    if request is bytes:
        return lambda data: data
    decode = msgspec.json.Decoder(request).decode

    def typed(data: bytes) -> Any:
        try:
            check_utf8(data)
            found = decode(data or b"{}")
        except MALFORMED as error:
            raise invalid(error) from None
        check_texts(found, data)
        return found

    return typed


def check_utf8(data: bytes) -> None:
    """UnicodeDecodeError if this is not UTF-8: the JSON decoder does not look into what it passes on as it came."""
    if not data.isascii():
        str(data, "utf-8")


def invalid(error: Exception) -> Invalid:
    """What msgspec found (one of `MALFORMED`), with the field that it names."""
    if isinstance(error, RecursionError):
        return Invalid("nested too deeply")
    if not isinstance(error, msgspec.MsgspecError):
        return Invalid(f"not UTF-8: {error}" if isinstance(error, UnicodeError) else f"malformed: {error}")
    text, _, path = str(error).partition(" - at `")
    field = path.rstrip("`").removeprefix("$").removeprefix(".")
    if named := NAMED.search(text):
        field = f"{field}.{named[1]}".lstrip(".")
    return Invalid(with_example(text), field=field)


def check_texts(value: Any, data: bytes, at: str = "") -> None:
    """Invalid, if a text of `value`, which was decoded from `data`, has U+0000 in it; the field is where, below `at`."""
    if _ESCAPED_NUL in data and (place := nul(value, at)) is not None:
        raise Invalid("a text cannot have the character U+0000", field=place)


def nul(value: Any, at: str = "") -> str | None:
    """The place of the first text with U+0000 in it; None if there is none."""
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
