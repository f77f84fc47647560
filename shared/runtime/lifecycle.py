"""One lifecycle for every process: start, run until a signal comes, drain, exit.

SIGTERM or SIGINT sets the stop event that `main` waits for. Before `main` waits for it, while it waits for a server, it is
cancelled instead: there is nothing to drain. A second signal is harmless: what drains goes on draining.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import msgspec
import uvloop

from shared.runtime.log import configure, log
from shared.runtime.settings import ProcessSettings, load
from shared.runtime.startup import StartFailed

GC_THRESHOLDS = (50_000, 20, 50)
"""For gc.set_threshold: rows and messages come by the ten thousand and hold no cycles, so the collector can run rarely."""


class Stop(asyncio.Event):
    """The event that a signal sets. `awaited`: whether `main` waits for it already, so that it drains by itself."""

    awaited = False

    async def wait(self) -> Literal[True]:
        self.awaited = True
        return await super().wait()


async def supervise(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main(stop)` in this loop; a signal sets `stop`, or cancels `main` while it does not wait for `stop` yet."""
    stop = Stop()
    loop = asyncio.get_running_loop()
    log.info("process.started")

    async def work() -> None:
        await main(stop)

    working = loop.create_task(work())

    def on_signal() -> None:
        first = not stop.is_set()
        stop.set()
        if first and not stop.awaited:
            working.cancel()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, on_signal)
    await asyncio.wait({working})
    if not (working.cancelled() and stop.is_set()):
        working.result()
    log.info("process.stopped")


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main(stop)` on uvloop. It returns when it has drained; an exception ends the process with status 1."""
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        uvloop.run(supervise(main))
    except* Exception as group:
        for error in group.exceptions:
            expected = isinstance(error, StartFailed)
            log.error(
                "process.failed", error=str(error) if expected else repr(error), exc_info=None if expected else error
            )
        raise SystemExit(1) from None


S = TypeVar("S", bound=msgspec.Struct)


def serve(name: str, kind: type[S], main: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    """A service's `__main__`: its settings from the environment, its log, then `main(settings, stop)`."""
    process, found = load(ProcessSettings), load(kind)
    configure(name, process.log_level, process.log_format)
    run(lambda stop: main(found, stop))
