"""`/execution/v1`: worksteps, and offers for them from every site (IVOA ExecutionBroker 1.0)."""

from typing import Final
from uuid import UUID

import msgspec

from services.gateway.execution import offers
from services.gateway.execution.worksteps import Workstep, WorkstepCreate, WorkstepPage
from services.gateway.http.asgi import Response
from services.gateway.http.reply import Reply
from services.gateway.http.request import Request
from services.gateway.http.route import Route
from shared.contracts.endpoints.execution import OFFER_GET
from shared.contracts.errors import Invalid
from shared.contracts.execution import ExecutionRequest, Offer, OfferSet, PhaseUpdate
from shared.contracts.paging import Page
from shared.contracts.permissions import EXECUTION_READ, EXECUTION_WRITE
from shared.service.context import Context

ROOT: Final = "/execution/v1"


class WorkstepRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workstep by its id."""

    workstep: UUID


class OffersetRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An offerset by its id."""

    offerset: UUID


class SessionRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An offer, or the session that it became, by the offer's id."""

    session: UUID


class SessionUpdate(PhaseUpdate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Asks for another phase of a session."""

    session: UUID


class RequestBody(ExecutionRequest, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What offers are asked for; or `workstep`, the id of one that is stored, and nothing else."""

    workstep: UUID | None = None


_NOTHING_ELSE = RequestBody()


async def create_workstep(request: Request, message: WorkstepCreate) -> Response:
    """Stores a workstep of the caller."""
    return Reply(await request.edge.worksteps.create(request.context.user, message), 201)


async def list_worksteps(request: Request, page: Page) -> Response:
    """A page of the worksteps that the caller may see."""
    return Reply(await request.edge.worksteps.page(_owner(request.context), page))


async def get_workstep(request: Request, ref: WorkstepRef) -> Response:
    """A workstep that the caller may see."""
    return Reply(await request.edge.worksteps.get(ref.workstep, _owner(request.context)))


async def request_offers(request: Request, body: RequestBody) -> Response:
    """Asks every site for an offer, and keeps the offerset."""
    edge, context = request.edge, request.context
    execution: ExecutionRequest
    if body.workstep is not None:
        if msgspec.structs.replace(body, workstep=None) != _NOTHING_ELSE:
            raise Invalid("a workstep says all that is asked for: give nothing else", field="workstep")
        execution = (await edge.worksteps.get(body.workstep, _owner(context))).request
    else:
        execution = ExecutionRequest(**{name: getattr(body, name) for name in ExecutionRequest.__struct_fields__})
    made = await offers.ask_sites(edge, context, execution, body.workstep, request.key)
    await edge.worksteps.keep(context.user, made)
    return Reply(made)


async def get_offerset(request: Request, ref: OffersetRef) -> Response:
    """An offerset as it was answered."""
    return Reply(await request.edge.worksteps.offerset(ref.offerset, _owner(request.context)))


async def get_session(request: Request, ref: SessionRef) -> Response:
    """An offer, or the session that it became."""
    placed = await request.edge.worksteps.offer(ref.session, _owner(request.context))
    return Reply(await offers.current(request.edge, request.context, placed))


async def update_session(request: Request, message: SessionUpdate) -> Response:
    """Accepts, rejects or cancels."""
    placed = await request.edge.worksteps.offer(message.session, _owner(request.context))
    if message.value == "ACCEPTED":
        return Reply(await offers.accept(request.edge, request.context, placed))
    return Reply(await offers.change(request.edge, request.context, placed, message.value))


def _owner(context: Context) -> str | None:
    """Whose things the caller may see: its own; the admin, everybody's."""
    return None if context.is_admin else context.user


ROUTES: Final = [
    Route(
        method="POST",
        path=f"{ROOT}/worksteps",
        needs=EXECUTION_WRITE,
        action="workstep.create",
        handler=create_workstep,
        summary="Stores a workstep.",
        message=WorkstepCreate,
        reply=Workstep,
        status=201,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/worksteps",
        needs=EXECUTION_READ,
        action="workstep.list",
        handler=list_worksteps,
        summary="Worksteps, newest first.",
        message=Page,
        reply=WorkstepPage,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/worksteps/{{workstep}}",
        needs=EXECUTION_READ,
        action="workstep.get",
        handler=get_workstep,
        summary="A workstep.",
        message=WorkstepRef,
        reply=Workstep,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/requests",
        needs=EXECUTION_WRITE,
        action="offer.request",
        handler=request_offers,
        summary="Asks every site for an offer; answers when all sites that live have answered, after 2 s at the latest.",
        message=RequestBody,
        reply=OfferSet,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/offersets/{{offerset}}",
        needs=EXECUTION_READ,
        action="offerset.get",
        handler=get_offerset,
        summary="Offers as they were made.",
        message=OffersetRef,
        reply=OfferSet,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/sessions/{{session}}",
        needs=EXECUTION_READ,
        action="execution.get",
        handler=get_session,
        summary=OFFER_GET.summary,
        message=SessionRef,
        reply=Offer,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/sessions/{{session}}",
        needs=EXECUTION_WRITE,
        action="execution.update",
        handler=update_session,
        summary="Accepts, rejects or cancels; accepting an offer rejects the others of its set.",
        message=SessionUpdate,
        reply=Offer,
    ),
]
