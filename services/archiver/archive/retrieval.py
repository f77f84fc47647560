"""A retrieve job of the catalogue is the retriever's work: it is handed over, and the retriever tells how it goes."""

import contextlib

from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from shared.bus.client import Bus
from shared.chain.context import StepContext
from shared.chain.errors import UserError
from shared.contracts import headers as h
from shared.contracts import subjects
from shared.contracts.errors import Conflict, HeadraceError, NotFound
from shared.contracts.operations import Operation, OperationRef
from shared.contracts.retrieval import Retrieval, RetrievalCreate


class Forwarding:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def hand_to_retriever(self, ctx: StepContext, state: OfDataset) -> None:
        asked = RetrievalCreate(state.pid, id=state.job, job=state.job)
        try:
            await self._bus.request(
                subjects.rpc("retriever", "retrieval", "create"), asked, Retrieval, headers={h.USER: state.owner}
            )
        except HeadraceError as error:
            if error.retryable:
                raise
            raise UserError(f"the retriever refuses: {error.message}") from None
        ctx.hand_over()
        catalogue.tell_job(ctx, state.job, "forward")

    async def cancel_retrieval(self, ctx: StepContext, state: OfDataset) -> None:
        """The retriever may have it already: then it is cancelled there too, unless it has ended."""
        assert state.job is not None
        with contextlib.suppress(NotFound, Conflict):
            subject, headers = subjects.rpc("retriever", "operation", "cancel"), {h.USER: state.owner}
            await self._bus.request(subject, OperationRef(state.job), Operation, headers=headers)
        await self.report_failure(ctx, state)

    async def report_failure(self, ctx: StepContext, state: OfDataset) -> None:
        catalogue.tell_job(ctx, state.job, "refuse", ctx.error)
