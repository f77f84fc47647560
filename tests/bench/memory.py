"""How much memory the processes of a stack take, as the kernel counts it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.stack import Stack
from tests.bench.compute import pids

EVERY = 5.0
"""Seconds between two looks at what a process and its children take together."""


class Memory:
    """MiB by process. `peak`, `now`: resident, of the process itself (VmHWM, VmRSS). `tree`: the most that it and its
    children had at a sampled moment, pages that several map counted once (PSS): for PostgreSQL, which is many processes.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._trees: dict[str, float] = {}

    def __getitem__(self, process: str) -> dict[str, float]:
        pid = pids(self._stack)[process]
        return {
            "peak": _field(pid, "status", "VmHWM:"),
            "now": _field(pid, "status", "VmRSS:"),
            "tree": round(self._trees[process], 1),
        }

    def all(self) -> dict[str, dict[str, float]]:
        self._look()
        return {name: self[name] for name in pids(self._stack)}

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """The peaks of this block."""
        self._trees.clear()
        for pid in pids(self._stack).values():
            with contextlib.suppress(OSError):  # not ours to reset: then the peak is that of its whole life
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(EVERY)

    def _look(self) -> None:
        for name, pid in pids(self._stack).items():
            self._trees[name] = max(self._trees.get(name, 0.0), _tree(pid, name != "client"))


def _tree(pid: int, children: bool) -> float:
    total = _field(pid, "smaps_rollup", "Pss:")
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir() if children else ():
            for child in (thread / "children").read_text().split():
                total += _tree(int(child), True)
    return total


def _field(pid: int, file: str, name: str) -> float:
    """MiB; 0 of a process that has ended, or that is not ours to look at."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return round(int(line.split()[1]) / 1024, 1)
    return 0.0
