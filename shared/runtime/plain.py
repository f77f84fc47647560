"""Text from outside, made printable: nothing in it moves a cursor, colours a terminal, reverses a line, or is refused by a
database or an encoder.
"""

import re

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and newline, controls of the writing direction, halves of surrogate pairs."""


def plain(text: str) -> str:
    """The text with each control character replaced by its picture (␛ for ESC, � where there is none): the length stays."""
    return text if text.isprintable() else _CONTROL.sub(_picture, text)


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"
