"""One lifecycle for every process: start, run until told to stop, drain, exit.

SIGTERM or SIGINT sets the stop event that `main` waits for. A second signal is harmless: what drains goes on draining.
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
import uvloop

from shared.runtime.log import configure, log
from shared.runtime.settings import ProcessSettings, load

COLLECT = (50_000, 20, 50)
"""When the collector of cycles looks: rows and messages come by the ten thousand and hold none."""


async def _supervise(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    log.info("process.started")
    await main(stop)
    log.info("process.stopped")


def run(main: Callable[[asyncio.Event], Awaitable[None]]) -> None:
    """Runs `main(stop)` on uvloop. It returns when it has drained; an exception ends the process with status 1."""
    gc.freeze()
    gc.set_threshold(*COLLECT)
    try:
        uvloop.run(_supervise(main))
    except* Exception as group:
        for error in group.exceptions:
            log.error("process.failed", error=repr(error), exc_info=error)
        raise SystemExit(1) from None


S = TypeVar("S", bound=msgspec.Struct)


def serve(name: str, kind: type[S], main: Callable[[S, asyncio.Event], Awaitable[None]]) -> None:
    """A service's `__main__`: its settings from the environment, its log, then `main(settings, stop)`."""
    process, found = load(ProcessSettings), load(kind)
    configure(name, process.log_level, process.log_format)
    run(lambda stop: main(found, stop))
