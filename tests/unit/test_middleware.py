"""What wraps every handler, one by one."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from shared.bus import trace
from shared.contracts.errors import Invalid, NotFound, TimedOut, Unavailable
from shared.service.context import Context, Handler
from shared.service.middleware import wrap
from shared.service.middleware.database import database
from shared.service.middleware.logging import logging
from shared.service.middleware.timeout import timeout
from shared.service.middleware.tracing import tracing

CTX = Context("ann", subject="hr.rpc.s.n.v", trace=trace.new())


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


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (ConnectionRefusedError(111, "refused"), Unavailable, "the database is away"),
        (asyncpg.ConnectionDoesNotExistError("closed in the middle"), Unavailable, "the database is away"),
        (asyncpg.AdminShutdownError("terminating connection"), Unavailable, "the database is away"),
        (asyncpg.CannotConnectNowError("starting up"), Unavailable, "the database is away"),
        (asyncpg.DeadlockDetectedError("deadlock"), Unavailable, "try again"),
        (asyncpg.QueryCanceledError("statement timeout"), TimedOut, "took too long"),
        (asyncpg.DataError("value out of int64 range"), Invalid, "outside of what can be stored"),
        (asyncpg.CharacterNotInRepertoireError("0x00"), Invalid, "outside of what can be stored"),
        (NotFound("no such thing"), NotFound, "no such thing"),
        (KeyError("surprise"), KeyError, "surprise"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_what_the_database_says_is_what_a_caller_can_use(
    error: Exception, kind: type[Exception], text: str
) -> None:
    async def fails(ctx: Context, data: bytes) -> bytes:
        raise error

    with pytest.raises(kind, match=text):
        await database(fails)(CTX, b"")


async def test_an_outage_is_logged_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    async def fails(ctx: Context, data: bytes) -> bytes:
        raise ConnectionRefusedError(111, "refused")

    with pytest.raises(Unavailable):
        await wrap(fails, [tracing, logging, database])(CTX, b"")
    said = capsys.readouterr().out
    assert "ConnectionRefusedError" in said
    assert trace.trace_id(CTX.trace) in said
