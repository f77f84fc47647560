"""A retrieve job of the catalogue is the retriever's work: it is handed over, and the retriever tells how it goes."""

from services.archiver.archive.state import OfDataset
from services.archiver.catalogue import builtin as catalogue
from shared.bus.client import Bus
from shared.chain.context import StepContext
from shared.chain.errors import UserError
from shared.contracts.endpoints.retrieval import RETRIEVAL_CREATE
from shared.contracts.errors import HeadraceError
from shared.contracts.retrieval import RetrievalCreate
from shared.service.ask import ask
from shared.service.context import speaking_for


class Forwarding:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def hand_to_retriever(self, ctx: StepContext, state: OfDataset) -> None:
        asked = RetrievalCreate(state.pid, id=state.job, job=state.job)
        try:
            await ask(self._bus, RETRIEVAL_CREATE, asked, speaking_for(state.owner))
        except HeadraceError as error:
            if error.retryable:
                raise
            raise UserError(f"the retriever refuses: {error.message}") from None
        catalogue.tell_job(ctx, state.job, "forward")

    async def report_failure(self, ctx: StepContext, state: OfDataset) -> None:
        catalogue.tell_job(ctx, state.job, "refuse", ctx.error)
