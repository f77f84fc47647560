"""Ends a worker whose loop is blocked by a coroutine function, so that other workers get its tasks."""

import asyncio
import faulthandler

LIMIT = 60
"""Seconds for which a worker's loop may be blocked. After 10 the scheduler counts its tasks as lost."""
INTERVAL = 5.0


async def end_if_blocked() -> None:
    """Ends the process with status 1 when the loop is blocked for `LIMIT` seconds; the traceback is written to stderr."""
    try:
        while True:
            faulthandler.dump_traceback_later(LIMIT, exit=True, file=2)
            await asyncio.sleep(INTERVAL)
    finally:
        faulthandler.cancel_dump_traceback_later()
