"""Each text of a JSON value, changed one at a time."""

from collections.abc import Iterator
from typing import Any


def texts(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Each text of a JSON value: its place, and the value with U+0000 in it."""
    if isinstance(value, str):
        yield at, f"{value}\x00"
    elif isinstance(value, dict):
        for key, each in value.items():
            for place, changed in texts(each, f"{at}.{key}".lstrip(".")):
                yield place, {**value, key: changed}
    elif isinstance(value, list):
        for n, each in enumerate(value):
            for place, changed in texts(each, f"{at}[{n}]"):
                yield place, [*value[:n], changed, *value[n + 1 :]]
