"""Removes what killed processes left half written: every hour, what is older than a day."""

from datetime import timedelta
from typing import Final

from shared.objects.port import Store
from shared.runtime.loop import Loop

EVERY: Final = 3600.0
OLD: Final = timedelta(days=1)
"""Longer than writing one object takes: a datablock of 20 GB takes minutes."""


def sweeping(*rooms: tuple[Store, str]) -> Loop:
    """A loop over stores and the prefixes in them that are the caller's to write."""

    async def run_once() -> int:
        return sum([await store.sweep(OLD, prefix) for store, prefix in rooms])

    return Loop("half-written", EVERY, run_once)
