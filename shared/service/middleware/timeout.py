"""A handler that takes longer than its caller waits is stopped: its transaction rolls back, the caller may repeat."""

import asyncio

from shared.contracts.errors import TimedOut
from shared.service.context import Context, Handler, Middleware


def timeout(seconds: float) -> Middleware:
    """The handler, stopped with TimedOut after so many seconds."""

    def layer(handler: Handler) -> Handler:
        async def limited(ctx: Context, data: bytes) -> bytes:
            try:
                async with asyncio.timeout(seconds):
                    return await handler(ctx, data)
            except TimeoutError:
                raise TimedOut(f"{ctx.subject} took longer than {seconds:g} s") from None

        return limited

    return layer
