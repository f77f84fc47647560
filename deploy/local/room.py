"""Room on the disk that the home lies on: says when it is full, and makes the servers whole again when there is room.

A server that met a full disk does not forget it by itself. NATS keeps a stream closed after a write that failed;
SeaweedFS keeps its volumes read-only for a while, and its index closed; PostgreSQL ends, and is started again and again.
So whoever cannot be trusted to be whole is started anew, but only once there is room: before that it would fail again.
"""

import asyncio
from typing import TYPE_CHECKING

from deploy.local.home import MIB, free
from deploy.local.process import Event
from shared.runtime.retry import Backoff, retry

if TYPE_CHECKING:
    from deploy.local.stack import Stack

LOW = 64 * MIB
"""Bytes free, and less is called full: PostgreSQL takes 16 MiB at a time, and datablocks and uploads come beside it."""
ENOUGH = 2 * LOW
"""Bytes free at which the disk is no longer called full."""
EVERY = 1.0
"""Seconds between two looks."""
WELL_LIMIT = 60.0
"""Seconds for the servers to be well again."""
_POLL = Backoff(first=0.1, ceiling=1)


class Room:
    """Looks after the room in a stack's home; `low` and `enough` in bytes."""

    def __init__(self, stack: "Stack", *, low: int = LOW, enough: int = ENOUGH) -> None:
        self._stack, self._low, self._enough = stack, low, enough
        self.full = False

    async def run_once(self) -> None:
        left, was_full = free(self._stack.home.path), self.full
        self.full = left < (self._enough if was_full else self._low)
        if self.full and not was_full:
            self._tell(
                "full",
                f"{left // MIB} MiB free in {self._stack.home.path}: what is acknowledged is kept; "
                f"the work goes on when {self._enough // MIB} MiB are free",
            )
        if not self.full:
            if was_full:
                self._tell("has room", f"{left // MIB} MiB free: looking after the servers")
            await self._mend(was_full)

    async def _mend(self, was_full: bool) -> None:
        harmed = {name: why for name, server in self._stack.servers.items() if (why := await server.harmed(was_full))}
        for name, why in harmed.items():
            await self._stack.processes[name].renew(why)
        if not (was_full or harmed):
            return
        for name in self._stack.servers:
            self._stack.processes[name].hurry()
        await self._until_well()
        self._stack.note_address()  # it could not be written while the disk was full

    async def _until_well(self) -> None:
        waiting = set(self._stack.servers)
        try:
            async with asyncio.timeout(WELL_LIMIT):
                for name, server in self._stack.servers.items():
                    await retry(server.ready, on=(Exception,), backoff=_POLL)
                    waiting.discard(name)
        except TimeoutError:
            logs = ", ".join(str(self._stack.processes[name].log) for name in sorted(waiting))
            self._tell("has room", f"but not ready after {WELL_LIMIT:g} s: {', '.join(sorted(waiting))}; see {logs}")
        else:
            self._tell("well again", ", ".join(self._stack.servers))

    def _tell(self, what: str, detail: str) -> None:
        self._stack.tell(Event("disk", what, detail))
