"""Binds the trace of the request: what the handler publishes and logs carries it on."""

import structlog

from shared.bus import trace
from shared.service.context import Context, Handler


def tracing(handler: Handler) -> Handler:
    """The handler, with the trace of its request in the context variable `trace.current` and in the log."""

    async def traced(ctx: Context, data: bytes) -> bytes:
        token = trace.current.set(ctx.trace)
        with structlog.contextvars.bound_contextvars(trace=trace.trace_id(ctx.trace)):
            try:
                return await handler(ctx, data)
            finally:
                trace.current.reset(token)

    return traced
