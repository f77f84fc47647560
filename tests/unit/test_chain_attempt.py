"""What a step raises, as an outcome."""

from uuid import uuid4

import asyncpg
import msgspec
import pytest

from shared.chain.attempt import AWAY_AGAIN, run
from shared.chain.context import StepContext
from shared.chain.decide import Failed, Outcome, Postponed
from shared.chain.declare import Action, Chain, critical
from shared.chain.errors import UserError
from shared.chain.machine import Fault
from shared.contracts.errors import Internal, Invalid, NoRoom, TimedOut, Unavailable, Unreadable


class Empty(msgspec.Struct, frozen=True):
    pass


async def outcome(error: Exception) -> Outcome:
    async def fails(ctx: StepContext, state: Empty) -> None:
        raise error

    async def save(state: msgspec.Struct) -> None:
        raise AssertionError("nothing is saved")

    chain = Chain("one", Empty, critical(fails))
    ctx = StepContext(uuid4(), "one", "fails", tries=0, fault=Fault.NONE, error="", save=save)
    return (await run(chain, b"{}", Action("fails", fails), ctx))[0]


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("s3"),
        TimedOut("nobody"),
        NoRoom("full"),
        asyncpg.AdminShutdownError("shutting down"),
        ConnectionRefusedError(),
    ],
    ids=repr,
)
async def test_a_server_that_is_away_or_full_is_waited_for(error: Exception) -> None:
    found = await outcome(error)
    assert isinstance(found, Postponed)
    assert found.seconds == AWAY_AGAIN
    assert found.why


@pytest.mark.parametrize(
    "error",
    [
        Internal(),
        Unreadable("a bad sector"),  # of one object, on a storage that is there
        Invalid("no"),
        OSError("a bug"),
        ValueError("a bug"),
        asyncpg.UniqueViolationError("taken"),
        ExceptionGroup("", [ValueError()]),
    ],
    ids=repr,
)
async def test_anything_else_is_a_system_error(error: Exception) -> None:
    found = await outcome(error)
    assert isinstance(found, Failed)
    assert found.fault is Fault.SYSTEM


async def test_what_the_user_gave_is_the_users() -> None:
    assert await outcome(UserError("no such file")) == Failed(Fault.USER, "no such file")
