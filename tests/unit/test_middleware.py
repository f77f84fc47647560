"""What wraps every handler, one by one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.bus import trace
from shared.bus.context import Context, Handler
from shared.bus.middleware import wrap
from shared.bus.middleware.logging import logging
from shared.bus.middleware.timeout import timeout
from shared.bus.middleware.tracing import tracing
from shared.contracts.errors import NotFound, TimedOut

CTX = Context("hr.rpc.s.n.v", "ann", {}, trace.new())


def named(name: str, seen: list[str]) -> Callable[[Handler], Handler]:
    def layer(handler: Handler) -> Handler:
        async def run(ctx: Context, data: bytes) -> bytes:
            seen.append(name)
            return await handler(ctx, data)

        return run

    return layer


async def echo(ctx: Context, data: bytes) -> bytes:
    return data


async def test_the_first_layer_is_the_outermost() -> None:
    seen: list[str] = []
    assert await wrap(echo, [named("outer", seen), named("inner", seen)])(CTX, b"x") == b"x"
    assert seen == ["outer", "inner"]


async def test_the_trace_is_there_while_the_handler_runs_and_gone_afterwards() -> None:
    async def look(ctx: Context, data: bytes) -> bytes:
        return trace.current.get().encode()

    before = trace.current.get()
    assert await tracing(look)(CTX, b"") == CTX.trace.encode()
    assert trace.current.get() == before


async def test_a_slow_handler_is_cancelled() -> None:
    ended: list[str] = []

    async def slow(ctx: Context, data: bytes) -> bytes:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return b""

    with pytest.raises(TimedOut, match=r"n\.v took longer than 0\.01 s"):
        await timeout(0.01)(slow)(CTX, b"")
    assert ended == ["cancelled"]


@pytest.mark.parametrize("error", [NotFound("no"), KeyError("bug")])
async def test_errors_pass_through_the_log(error: Exception) -> None:
    async def fail(ctx: Context, data: bytes) -> bytes:
        raise error

    call: Awaitable[bytes] = logging(fail)(CTX, b"")
    with pytest.raises(type(error)):
        await call
