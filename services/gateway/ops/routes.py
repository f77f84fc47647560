"""`/ops/v1`: for operators. What runs, and what died and may be replayed."""

import asyncio
from typing import Annotated, Final

import msgspec

from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from services.gateway.ops import system_status
from services.gateway.ops.system_status import StreamState
from shared.contracts.audit import AuditPage, AuditQuery, AuditVerified, AuditVerify
from shared.contracts.compute import Partition
from shared.contracts.endpoints.compute import PARTITION_LIST
from shared.contracts.errors import Invalid
from shared.contracts.health import Health
from shared.contracts.paging import Page
from shared.contracts.permissions import OPS
from shared.service import dead
from shared.service.dead import DeadPage, Replayed

ROOT: Final = "/ops/v1"


class Status(msgspec.Struct, frozen=True):
    """What runs. `ok`: all services are well. `streams` and `partitions` are empty while nobody can say."""

    ok: bool
    services: list[Health]
    streams: list[StreamState]
    partitions: list[Partition]


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either `sequences` in DEAD, or `all`."""

    sequences: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]], msgspec.Meta(max_length=1000)] = []
    all: bool = False


async def status(request: Request, _: object) -> Response:
    """What runs; a part that cannot be had is empty."""
    bus, listed = request.edge.bus, request.ask(PARTITION_LIST, Page(size=1000), timeout=2)
    services, streams, partitions = await asyncio.gather(
        system_status.health(bus), system_status.streams(bus), listed, return_exceptions=True
    )
    if isinstance(services, BaseException):
        raise services
    return Reply(
        Status(
            all(one.ok for one in services),
            services,
            [] if isinstance(streams, BaseException) else streams,
            [] if isinstance(partitions, BaseException) else partitions.items,  # `services` says what is away
        )
    )


async def list_dead(request: Request, page: Page) -> Response:
    """A page of the poisoned messages."""
    return Reply(await dead.page(request.edge.bus, page.size, page.token))


async def replay(request: Request, message: Replay) -> Response:
    """Sends poisoned messages back to where they came from."""
    if message.all == bool(message.sequences):
        raise Invalid("give either sequences or all", field="sequences")
    bus = request.edge.bus
    return Reply(await (dead.replay_all(bus) if message.all else dead.replay(bus, message.sequences)))


async def audit(request: Request, asked: AuditQuery) -> Response:
    """A page of the audit log."""
    return Reply(await request.edge.audit.page(asked))


async def verify_audit(request: Request, asked: AuditVerify) -> Response:
    """Checks a part of the audit log."""
    return Reply(await request.edge.audit.verify(asked))


ROUTES: Final = [
    Route(
        method="GET",
        path=f"{ROOT}/audit",
        needs=OPS,
        action="audit.list",
        handler=audit,
        summary="Who did what, and who was refused.",
        message=AuditQuery,
        reply=AuditPage,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/audit/verify",
        needs=OPS,
        action="audit.verify",
        handler=verify_audit,
        summary="Whether the audit log is as it was written.",
        message=AuditVerify,
        reply=AuditVerified,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/status",
        needs=OPS,
        action="system.status",
        handler=status,
        summary="What runs.",
        reply=Status,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/dead",
        needs=OPS,
        action="dead.list",
        handler=list_dead,
        summary="Poisoned messages and why.",
        message=Page,
        reply=DeadPage,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/dead/replay",
        needs=OPS,
        action="dead.replay",
        handler=replay,
        summary="Sends poisoned messages back to where they came from.",
        message=Replay,
        reply=Replayed,
    ),
]
