"""`/execution/v1`: worksteps, and offers for them from every site (IVOA ExecutionBroker 1.0)."""

from uuid import UUID

import msgspec
from litestar.types import ASGIApp

from services.gateway.execution import offers
from services.gateway.execution.worksteps import Workstep, WorkstepCreate, WorkstepPage
from services.gateway.http.reply import Reply
from services.gateway.http.request import Call
from services.gateway.http.route import Route
from services.gateway.identity.auth import EXECUTION_READ, EXECUTION_WRITE
from shared.contracts.errors import Invalid
from shared.contracts.execution import ExecutionRequest, Offer, OfferSet, PhaseUpdate
from shared.contracts.paging import Page

ROOT = "/execution/v1"


class RequestBody(ExecutionRequest, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What offers are wanted for; or `workstep`, the id of one that is stored, and nothing else."""

    workstep: UUID | None = None


_NOTHING_ELSE = RequestBody()


async def create_workstep(call: Call) -> ASGIApp:
    asked = await call.json(WorkstepCreate)
    return Reply(await call.edge.worksteps.create(_caller(call), asked), 201)


async def list_worksteps(call: Call) -> ASGIApp:
    asked = call.asked(Page)
    return Reply(await call.edge.worksteps.page(_owner(call), asked))


async def get_workstep(call: Call) -> ASGIApp:
    return Reply(await call.edge.worksteps.get(call.uuid("workstep"), _owner(call)))


async def request(call: Call) -> ASGIApp:
    asked = await call.json(RequestBody)
    wanted: ExecutionRequest = asked
    if asked.workstep is not None:
        if msgspec.structs.replace(asked, workstep=None) != _NOTHING_ELSE:
            raise Invalid("a workstep says all that is wanted: give nothing else", field="workstep")
        wanted = (await call.edge.worksteps.get(asked.workstep, _owner(call))).request
    else:
        wanted = ExecutionRequest(**{name: getattr(asked, name) for name in ExecutionRequest.__struct_fields__})
    made = await offers.ask_sites(call, wanted, asked.workstep)
    await call.edge.worksteps.keep(_caller(call), made)
    return Reply(made)


async def get_offerset(call: Call) -> ASGIApp:
    return Reply(await call.edge.worksteps.offerset(call.uuid("offerset"), _owner(call)))


async def get_session(call: Call) -> ASGIApp:
    offer = call.uuid("session")
    placed = await call.edge.worksteps.offer(offer, _owner(call))
    return Reply(await offers.ask_site(call, placed.site, "get", offer, timeout=10))


async def update_session(call: Call) -> ASGIApp:
    offer = call.uuid("session")
    asked = await call.json(PhaseUpdate)
    placed = await call.edge.worksteps.offer(offer, _owner(call))
    if asked.value == "ACCEPTED":
        return Reply(await offers.accept(call, placed, offer))
    found = await offers.ask_site(call, placed.site, offers.VERBS[asked.value], offer)
    await call.edge.worksteps.drop_choice(placed.offerset, offer)
    return Reply(found)


def _caller(call: Call) -> str:
    assert call.caller is not None
    return call.caller.user


def _owner(call: Call) -> str | None:
    """Whose things the caller may see: its own; the admin, everybody's."""
    return None if call.caller is not None and call.caller.is_admin else _caller(call)


ROUTES = [
    Route(
        method="POST",
        path=f"{ROOT}/worksteps",
        needs=EXECUTION_WRITE,
        handler=create_workstep,
        summary="Stores a workstep.",
        body=WorkstepCreate,
        reply=Workstep,
        status=201,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/worksteps",
        needs=EXECUTION_READ,
        handler=list_worksteps,
        summary="Worksteps, newest first.",
        query=Page,
        reply=WorkstepPage,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/worksteps/{{workstep}}",
        needs=EXECUTION_READ,
        handler=get_workstep,
        summary="A workstep.",
        reply=Workstep,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/requests",
        needs=EXECUTION_WRITE,
        handler=request,
        summary="Asks every site for an offer; answers when all that live have said yes or no, after 2 s at the latest.",
        body=RequestBody,
        reply=OfferSet,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/offersets/{{offerset}}",
        needs=EXECUTION_READ,
        handler=get_offerset,
        summary="Offers as they were made.",
        reply=OfferSet,
    ),
    Route(
        method="GET",
        path=f"{ROOT}/sessions/{{session}}",
        needs=EXECUTION_READ,
        handler=get_session,
        summary="An offer, or the session that it became, as its site knows it now.",
        reply=Offer,
    ),
    Route(
        method="POST",
        path=f"{ROOT}/sessions/{{session}}",
        needs=EXECUTION_WRITE,
        handler=update_session,
        summary="Accepts, rejects or cancels; accepting an offer rejects the others of its set.",
        body=PhaseUpdate,
        reply=Offer,
    ),
]
