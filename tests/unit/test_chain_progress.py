"""Progress of a running step: stored at most once a second, and what is left when the step ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import msgspec
import pytest

from shared.chain.context import PROGRESS_EVERY, StepContext
from shared.chain.declare import Chain, critical, step
from shared.chain.machine import ChainStatus, Fault
from shared.chain.store import OperationOf
from shared.chain.tally import Tally
from shared.contracts.errors import Unavailable
from shared.contracts.ids import uuid7
from shared.contracts.operations import Amount, Operation
from shared.testing.chain import ManualClock, MemoryChains

BLOCKS = [{"packed_size": size} for size in (10, 20, 30)]


class Empty(msgspec.Struct, frozen=True):
    pass


class Stored:
    """What was stored, in order. `away`: the database is."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Amount]] = []
        self.away = False

    async def report(self, amounts: dict[str, Amount]) -> None:
        if self.away:
            raise Unavailable("database")
        self.reports.append(amounts)

    @contextmanager
    def outage(self) -> Iterator[None]:
        self.away = True
        yield
        self.away = False


def rig() -> tuple[StepContext, Stored, ManualClock]:
    async def save(state: msgspec.Struct) -> None:
        raise AssertionError("nothing is saved")

    stored, clock = Stored(), ManualClock()
    paced = {"report": stored.report, "monotonic": clock.monotonic}
    ctx = StepContext(uuid7(), "one", "counts", tries=0, fault=Fault.NONE, error="", save=save, **paced)  # type: ignore[arg-type]
    return ctx, stored, clock


async def test_a_hundred_reports_in_ten_seconds_are_stored_ten_times() -> None:
    ctx, stored, clock = rig()
    for n in range(100):
        await ctx.progress(files=Amount(n, 100))
        clock.move(PROGRESS_EVERY / 10)
    assert [one["files"].done for one in stored.reports] == list(range(0, 100, 10))
    assert ctx.unsaved == {"files": Amount(99, 100)}


async def test_units_that_were_kept_back_are_stored_with_the_next() -> None:
    ctx, stored, clock = rig()
    await ctx.progress(files=Amount(0))
    await ctx.progress(bytes=Amount(7))
    clock.move(PROGRESS_EVERY)
    await ctx.progress(files=Amount(1))
    assert stored.reports == [{"files": Amount(0)}, {"files": Amount(1), "bytes": Amount(7)}]
    assert ctx.unsaved == {}


async def test_what_could_not_be_stored_is_kept() -> None:
    ctx, stored, _ = rig()
    with stored.outage(), pytest.raises(Unavailable):
        await ctx.progress(files=Amount(1))
    assert ctx.unsaved == {"files": Amount(1)}


@pytest.mark.parametrize("fails", [False, True])
async def test_the_last_amounts_are_stored_with_the_end_of_the_step(fails: bool) -> None:
    async def counts(ctx: StepContext, state: Empty) -> None:
        for n in range(4):
            await ctx.progress(files=Amount(n, 3))
        if fails:
            raise RuntimeError("broke")

    async def rests(ctx: StepContext, state: Empty) -> None:
        pass

    chain = Chain("counting", Empty, critical(counts, tries=1), step(rests))
    chains = MemoryChains(chain)
    async with chains.begin() as unit:
        id: UUID = await chains.start(unit, chain, Empty(), operation=OperationOf("count", "ann", "files"))
    ended = await chains.wait(id)
    assert ended.status == (ChainStatus.FAILED if fails else ChainStatus.DONE).name.lower()
    received = [
        msgspec.json.decode(body, type=Operation) for subject, body in chains.events if ".operation." in subject
    ]
    counted = [one.metadata.progress["files"].done for one in received if one.metadata.progress]
    assert counted == ([0, 3] if fails else [0, 3, 3])


def test_a_tally_counts_blocks_and_bytes() -> None:
    tally = Tally("validated_", BLOCKS, BLOCKS[:1])
    assert tally.amounts() == {"validated_datablocks": Amount(1, 3), "validated_bytes": Amount(10, 60)}
    assert tally.add(BLOCKS[2]) == {"validated_datablocks": Amount(2, 3), "validated_bytes": Amount(40, 60)}
