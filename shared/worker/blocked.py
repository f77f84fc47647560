"""A loop that a coroutine function does not let run: the process ends, so that its tasks and slots are somebody else's."""

import asyncio
import faulthandler

LIMIT = 60
"""Seconds for which a worker's loop may stand still. After 10 the scheduler counts its tasks as lost."""
EVERY = 5.0


async def end_if_blocked() -> None:
    """Ends the process with status 1 when the loop has stood still for `LIMIT` seconds; where it stood is on its stderr."""
    try:
        while True:
            faulthandler.dump_traceback_later(LIMIT, exit=True, file=2)
            await asyncio.sleep(EVERY)
    finally:
        faulthandler.cancel_dump_traceback_later()
