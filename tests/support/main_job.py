"""What a main job left."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple


class Made(NamedTuple):
    """What a main job left in `out/`, and what it said."""

    catalogue: bytes
    sheet: bytes
    said: str


MainJob = Callable[[], Awaitable[Made]]
