"""A retrieve job of the catalogue is the retriever's work: it is handed over, and the retriever reports how it goes."""

import contextlib

from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from shared.bus.client import Bus
from shared.chain.context import StepContext
from shared.chain.errors import UserError
from shared.contracts.endpoints.operations import OPERATION_CANCEL
from shared.contracts.endpoints.retrieval import RETRIEVAL_CREATE
from shared.contracts.errors import Conflict, HeadraceError, NotFound
from shared.contracts.operations import OperationRef
from shared.contracts.retrieval import RetrievalCreate
from shared.service.ask import ask
from shared.service.context import speaking_for


class Forwarding:
    """The steps of the retrieve jobs' chain at the archiver."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def hand_to_retriever(self, ctx: StepContext, state: OfDataset) -> None:
        """Makes the retrieval, with the job's id. UserError if the retriever refuses it."""
        try:
            await self._create(state)
        except HeadraceError as error:
            if error.retryable:
                raise
            raise UserError(f"the retriever refuses: {error.message}") from None
        ctx.hand_over()
        catalogue.commit_job(ctx, state.job, "forward")

    async def _create(self, state: OfDataset) -> None:
        """Repeating it is harmless: the retrieval has the job's id."""
        asked = RetrievalCreate(state.pid, id=state.job, job=state.job)
        await ask(self._bus, RETRIEVAL_CREATE, asked, speaking_for(state.owner))

    async def cancel_retrieval(self, ctx: StepContext, state: OfDataset) -> None:
        """Cancels it at the retriever too, unless it has ended there.

        The step may have been stopped while the retriever was at its request, which a cancel would overtake and find nothing.
        So it is made once more first: behind that answer it is there, or it was refused.
        """
        assert state.job is not None
        try:
            await self._create(state)
        except HeadraceError as error:
            if error.retryable:
                raise
        with contextlib.suppress(NotFound, Conflict):
            asked, owner = OperationRef(state.job), speaking_for(state.owner)
            await ask(self._bus, OPERATION_CANCEL["retriever"], asked, owner)
        await self.report_failure(ctx, state)

    async def report_failure(self, ctx: StepContext, state: OfDataset) -> None:
        """The job has ended without a retrieval."""
        catalogue.commit_job(ctx, state.job, "refuse", ctx.error)
