"""`/ops/v1`: for operators. What runs, what died and may be replayed, users and their tokens."""

import asyncio
from typing import Annotated, Literal

import msgspec
from litestar.types import ASGIApp

from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from services.gateway.http.route import Route
from services.gateway.identity import auth
from services.gateway.identity.auth import ADMIN, OPS
from services.gateway.ops import system_status as survey
from services.gateway.ops.system_status import StreamState
from shared.contracts.compute import Partition, PartitionName, PartitionPage
from shared.contracts.errors import Forbidden, Invalid
from shared.contracts.health import Health
from shared.contracts.paging import Page
from shared.service import dead
from shared.service.dead import DeadPage, Replayed

ROOT = "/ops/v1"


class Status(msgspec.Struct, frozen=True):
    ok: bool
    services: list[Health]
    streams: list[StreamState]
    partitions: list[Partition]


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either `sequences` in DEAD, or `all`."""

    sequences: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]], msgspec.Meta(max_length=1000)] = []
    all: bool = False


class UserCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name` is also the user's token in NATS subjects."""

    name: PartitionName
    roles: tuple[Literal["admin", "operator", "user", "reader"], ...] = ("user",)


class UserToken(msgspec.Struct, frozen=True):
    """`token` is told this once only."""

    id: str
    user: str
    roles: list[str]
    token: str


async def status(call: Call) -> ASGIApp:
    bus = call.edge.bus
    services, streams, partitions = await asyncio.gather(
        survey.health(bus),
        survey.streams(bus),
        call.scheduler("partition.list", Page(size=1000), PartitionPage, timeout=2),
        return_exceptions=True,
    )
    if isinstance(services, BaseException):
        raise services
    return Reply(
        Status(
            all(one.ok for one in services),
            services,
            [] if isinstance(streams, BaseException) else streams,
            []
            if isinstance(partitions, BaseException)
            else partitions.items,  # the scheduler is away: `services` says so
        )
    )


async def list_dead(call: Call) -> ASGIApp:
    asked = call.asked(Page)
    return Reply(await dead.page(call.edge.bus, asked.size, asked.token))


async def replay(call: Call) -> ASGIApp:
    asked = await call.json(Replay)
    if asked.all == bool(asked.sequences):
        raise Invalid("give either sequences or all", field="sequences")
    done = await (dead.replay_all(call.edge.bus) if asked.all else dead.replay(call.edge.bus, asked.sequences))
    return Reply(done)


async def create_user(call: Call) -> ASGIApp:
    asked = await call.json(UserCreate)
    _only_admins(call)
    if (ADMIN in asked.roles) != (asked.name == ADMIN):
        raise Invalid("the role admin belongs to the user admin, and to no other", field="roles")
    token = auth.new_token()
    made = await call.edge.store.add_token(asked.name, list(asked.roles), token)
    return Reply(UserToken(str(made), asked.name, sorted(asked.roles), token), 201)


async def revoke_token(call: Call) -> ASGIApp:
    _only_admins(call)
    await call.edge.store.revoke(call.uuid("token"))
    call.edge.auth.forget()
    return Reply(status=204)


def _only_admins(call: Call) -> None:
    # Otherwise whoever may look after queues could make an admin of themselves.
    if call.caller is None or not call.caller.is_admin:
        raise Forbidden("only an admin may do this")


ROUTES = [
    Route(method="GET", path=f"{ROOT}/status", needs=OPS, handler=status, summary="What runs.", reply=Status),
    Route(
        method="GET",
        path=f"{ROOT}/dead",
        needs=OPS,
        handler=list_dead,
        summary="Poisoned messages and why.",
        query=Page,
        reply=DeadPage,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/dead/replay",
        needs=OPS,
        handler=replay,
        summary="Sends poisoned messages back to where they came from.",
        body=Replay,
        reply=Replayed,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/users",
        needs=OPS,
        handler=create_user,
        summary="Makes a user, or a further token of one.",
        body=UserCreate,
        reply=UserToken,
        status=201,
    ),
    Route(
        method="DELETE",
        path=f"{ROOT}/tokens/{{token}}",
        needs=OPS,
        handler=revoke_token,
        summary="Revokes a token.",
        status=204,
    ),
]
