"""The fake, held to the suite of the real chains."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

import pytest

from shared.contracts.errors import TimedOut
from shared.service.unit import Unit
from shared.testing.chain import MemoryChains
from shared.testing.conformance_chain import CHAINS, LOG, TRIP, ChainConformance, Trip


class MemoryBench:
    def __init__(self) -> None:
        self.chains = MemoryChains(*CHAINS)

    def begin(self) -> AbstractAsyncContextManager[Unit]:
        return self.chains.begin()

    async def events_until(self, id: UUID, last: str) -> list[str]:
        names = [".".join(subject.split(".")[2:4]) for subject, _ in self.chains.events if subject.endswith(str(id))]
        assert names[-1] == last
        return names


@pytest.fixture
def bench() -> MemoryBench:
    return MemoryBench()


class TestMemory(ChainConformance):
    pass


async def test_a_chain_that_waits_says_for_what(bench: MemoryBench) -> None:
    async with bench.begin() as unit:
        id = await bench.chains.start(unit, TRIP, Trip({"pack": ["later"]}))
    assert await bench.chains.run() == 1
    assert (await bench.chains.explain(id)).reasons[1] == "its last words: the tape robot"


async def test_nothing_runs_before_its_time(bench: MemoryBench) -> None:
    chains = bench.chains
    async with bench.begin() as unit:
        id = await chains.start(unit, TRIP, Trip(), at=chains.clock.now() + timedelta(hours=1))
    assert await chains.run() == 0
    assert (await chains.explain(id)).reasons == ["it is due in 3600.0 s"]
    with pytest.raises(TimedOut):
        await chains.wait(id, timeout=3599)
    with pytest.raises(AssertionError, match="trip at pack"):
        chains.assert_empty()
    chains.clock.move(3600)
    assert await chains.run() == 3
    assert LOG[id] == ["pack", "move", "report"]
    chains.assert_empty()
