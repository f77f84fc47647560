"""Text of strangers, made harmless."""

import pytest

from shared.runtime.plain import plain


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcode and 星", "plain text, ünïcode and 星"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x00\x1b[31m\r\x7f\x85", "␀␛[31m␍␡\ufffd"),
        ("caf\udce9", "caf\ufffd"),
        ("".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])), "\ufffd" * 12),
        ("an emoji of two: \U0001f469\u200d\U0001f52c", "an emoji of two: \U0001f469\u200d\U0001f52c"),
    ],
)
def test_only_what_does_harm_is_pictured_and_no_length_changes(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert len(shown) == len(text)
