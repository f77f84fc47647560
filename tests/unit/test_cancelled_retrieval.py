"""A retrieve job that is cancelled while the retriever is making the retrieval: none goes on behind it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from services.archiver.archive.retrieval import Forwarding
from services.archiver.archive.state import OfDataset
from shared.bus.client import Bus
from shared.contracts.endpoints.operations import OPERATION_CANCEL
from shared.contracts.endpoints.retrieval import RETRIEVAL_CREATE
from shared.contracts.errors import Conflict, HeadraceError, NotFound, Unavailable
from shared.contracts.ids import uuid7
from shared.contracts.operations import Operation, OperationMetadata, OperationRef, operation_name
from shared.contracts.retrieval import Retrieval, RetrievalCreate
from shared.service.context import Context
from shared.service.service import Service
from shared.testing.bus import MemoryBroker
from shared.testing.chain import RecordedStep
from tests.support.stand_in import stand_in

JOB = uuid7()
STATE = OfDataset(uuid7(), "p/1", "ann", JOB)
NOW = "2026-01-01T00:00:00.000000Z"


class Retriever:
    """Holds the retrievals that run. `refusal`: what it answers to a new one. `asked`: verb and user, in order."""

    def __init__(self) -> None:
        self.running: set[UUID] = set()
        self.refusal: HeadraceError | None = None
        self.asked: list[tuple[str, str]] = []

    async def create(self, ctx: Context, asked: RetrievalCreate) -> Retrieval:
        self.asked.append(("create", ctx.user))
        if self.refusal is not None:
            raise self.refusal
        assert asked.id == asked.job == JOB
        self.running.add(JOB)
        return Retrieval(JOB, asked.pid, ctx.user, "running", "", "", 0, 0, 0, 0, NOW)

    async def cancel(self, ctx: Context, asked: OperationRef) -> Operation:
        self.asked.append(("cancel", ctx.user))
        if asked.operation not in self.running:
            raise NotFound
        self.running.remove(asked.operation)
        received = OperationMetadata("retrieve", "datasets/p/1", ctx.user, "cancelled", "", NOW, NOW, 1)
        return Operation(operation_name(JOB), received, done=True)


@pytest.fixture
def retriever() -> Retriever:
    return Retriever()


@pytest.fixture
async def forwarding(retriever: Retriever) -> AsyncIterator[Forwarding]:
    broker = MemoryBroker()
    there: list[Bus] = [await broker.connect("retriever"), await broker.connect("archiver")]
    service = Service(there[0], None, "retriever", "1.0.0", "")
    service.on(stand_in(RETRIEVAL_CREATE), retriever.create)
    service.on(stand_in(OPERATION_CANCEL["retriever"]), retriever.cancel)
    await service.start()
    yield Forwarding(there[1])
    for bus in there:
        await bus.close()


@pytest.mark.parametrize("there", [False, True])
async def test_it_is_made_before_it_is_cancelled(retriever: Retriever, forwarding: Forwarding, there: bool) -> None:
    """The cancel was asked while the first request was on its way: nothing was found, and then the retrieval began."""
    if there:
        retriever.running.add(JOB)
    await forwarding.cancel_retrieval(step := RecordedStep(), STATE)
    assert retriever.asked == [("create", "ann"), ("cancel", "ann")]
    assert not retriever.running
    assert len(step.commits) == 1, "the job has ended"


async def test_what_the_retriever_refuses_is_not_there(retriever: Retriever, forwarding: Forwarding) -> None:
    retriever.refusal = Conflict("not retrievable")
    await forwarding.cancel_retrieval(step := RecordedStep(), STATE)
    assert retriever.asked == [("create", "ann"), ("cancel", "ann")]
    assert len(step.commits) == 1


async def test_while_the_retriever_is_away_nothing_is_known(retriever: Retriever, forwarding: Forwarding) -> None:
    retriever.refusal = Unavailable("away")
    step: Any = RecordedStep()
    with pytest.raises(Unavailable):
        await forwarding.cancel_retrieval(step, STATE)
    assert (retriever.asked, step.commits) == ([("create", "ann")], [])
