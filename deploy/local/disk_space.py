"""Watches the space on the disk of the home: reports when it is full, and repairs the servers when there is space again.

A server that met a full disk does not recover by itself. NATS keeps a stream closed after a write that failed;
SeaweedFS keeps its volumes read-only for a while, and its index closed; PostgreSQL ends, and is started again and
again. So a server that may be damaged is restarted, but only when there is space: before that it would fail again.
"""

import asyncio
from typing import TYPE_CHECKING

from deploy.local.home import MIB, free
from deploy.local.process import Event
from shared.runtime.retry import Backoff, retry

if TYPE_CHECKING:
    from deploy.local.stack import Stack

LOW = 64 * MIB
"""Bytes free below which the disk counts as full: PostgreSQL takes 16 MiB at a time, and datablocks and uploads come beside it."""
ENOUGH = 2 * LOW
"""Bytes free at which the disk is no longer called full."""
INTERVAL = 1.0
"""Seconds between two checks."""
REPAIR_LIMIT = 60.0
"""Seconds for the servers to become ready again."""
_POLL = Backoff(first=0.1, ceiling=1)


class DiskSpace:
    """The space on the disk of a stack's home: full below `low` bytes, and no longer full at `enough` bytes."""

    def __init__(self, stack: "Stack", *, low: int = LOW, enough: int = ENOUGH) -> None:
        self._stack, self._low, self._enough = stack, low, enough
        self.full = False

    async def run_once(self) -> None:
        """One check; restarts servers that a full disk has damaged."""
        available, was_full = free(self._stack.home.path), self.full
        self.full = available < (self._enough if was_full else self._low)
        if self.full and not was_full:
            self._emit(
                "full",
                f"{available // MIB} MiB free in {self._stack.home.path}: what is acknowledged is kept; "
                f"the work goes on when {self._enough // MIB} MiB are free",
            )
        if not self.full:
            if was_full:
                self._emit("has room", f"{available // MIB} MiB free: looking after the servers")
            await self._repair(was_full)

    async def _repair(self, was_full: bool) -> None:
        servers = self._stack.servers.items()
        damaged = {name: reason for name, server in servers if (reason := await server.needs_restart(was_full))}
        for name, reason in damaged.items():
            await self._stack.processes[name].restart(reason)
        if not (was_full or damaged):
            return
        for name in self._stack.servers:
            self._stack.processes[name].start_now()
        await self._until_ready()
        self._stack.update_address()  # it could not be written while the disk was full

    async def _until_ready(self) -> None:
        waiting = set(self._stack.servers)
        try:
            async with asyncio.timeout(REPAIR_LIMIT):
                for name, server in self._stack.servers.items():
                    await retry(server.ready, on=(Exception,), backoff=_POLL)
                    waiting.discard(name)
        except TimeoutError:
            logs = ", ".join(str(self._stack.processes[name].log) for name in sorted(waiting))
            self._emit("has room", f"but not ready after {REPAIR_LIMIT:g} s: {', '.join(sorted(waiting))}; see {logs}")
        else:
            self._emit("well again", ", ".join(self._stack.servers))

    def _emit(self, state: str, detail: str) -> None:
        self._stack.on_event(Event("disk", state, detail))
