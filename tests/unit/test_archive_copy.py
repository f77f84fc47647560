"""What copying to long-term storage may take away: nothing."""

import hashlib
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.archiver.archive.abandonment import Abandoning
from services.archiver.archive.archival import Archiving
from services.archiver.archive.jobs import Jobs
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue.layout import archive_prefix
from services.archiver.catalogue.machine import BlockState
from services.archiver.catalogue.store import datablocks, datasets, jobs
from shared.chain.store import OperationOf
from shared.contracts.catalogue import JobCreate
from shared.contracts.errors import NotFound, Unavailable
from shared.runtime.clock import SystemClock
from shared.testing.chain import RecordedStep
from shared.testing.objects import MemoryObjects

DATA, STAGED, DATASET = b"a tar", "staging/1/a_0.tar", UUID(int=1)
KEY = f"{archive_prefix(DATASET)}a_0.tar"
STATE = OfDataset(DATASET, "a/b", "ann", storage="lts")


class Pool:
    """One datablock. `now`: what its row says when it is read again."""

    def __init__(self, **now: Any) -> None:
        self.listed: dict[str, Any] = {
            "id": uuid4(), "archive_id": KEY, "staging_key": STAGED, "packed_size": len(DATA), "storage": "lts", "damage": "missing",
            "chk": hashlib.sha256(DATA).hexdigest(), "state": int(BlockState.REGISTERED),
        }  # fmt: skip
        self.now = {**self.listed, **now}
        self.moved = False

    async def fetch(self, query: str, *_: Any) -> list[dict[str, Any]]:
        return [self.listed] if query == datablocks.Q.of_dataset.text else []

    async def fetchrow(self, query: str, *_: Any) -> dict[str, Any]:
        self.moved = self.moved or query == datablocks.Q.move.text
        return self.now


def rig(pool: Pool, storage: str = "lts") -> tuple[Archiving, MemoryObjects, MemoryObjects]:
    objects, lts = MemoryObjects(), MemoryObjects()
    units: Any = SimpleNamespace(pool=pool)
    return Archiving(units, objects, lts, storage), objects, lts


async def test_what_cannot_be_put_takes_nothing_away() -> None:
    """Another chain has put it, and cleared staging: it was deleted before nothing was found to put in its place."""
    archiving, _, lts = rig(Pool())
    await lts.put(KEY, DATA)
    with pytest.raises(NotFound):
        await archiving.move_datablocks_to_lts(RecordedStep(), STATE)
    assert lts.objects[KEY] == DATA


async def test_what_is_damaged_is_replaced() -> None:
    archiving, objects, lts = rig(pool := Pool())
    await objects.put(STAGED, DATA)
    await lts.put(KEY, DATA.swapcase())
    await archiving.move_datablocks_to_lts(RecordedStep(), STATE)
    assert (lts.objects[KEY], pool.moved) == (DATA, True)


async def test_what_was_validated_meanwhile_is_not_copied() -> None:
    archiving, objects, lts = rig(pool := Pool(state=int(BlockState.VALIDATED), damage=""))
    await objects.put(STAGED, DATA)
    await archiving.move_datablocks_to_lts(RecordedStep(), STATE)
    assert (lts.objects, pool.moved) == ({}, False)


async def test_nothing_is_written_to_another_storage() -> None:
    archiving, objects, lts = rig(Pool(), "lts-new")
    await objects.put(STAGED, DATA)
    with pytest.raises(Unavailable, match=r"'lts'.*'lts-new'"):
        await archiving.move_datablocks_to_lts(RecordedStep(), STATE)
    lts.assert_empty()


@pytest.mark.parametrize(("storage", "stays"), [("lts", False), ("lts-new", True)])
async def test_nothing_is_removed_from_another_storage(storage: str, stays: bool) -> None:
    _, objects, lts = rig(Pool())
    await lts.put(KEY, DATA)
    units: Any = SimpleNamespace(pool=Pool())
    abandoning = Abandoning(units, objects, lts, storage)
    if stays:
        with pytest.raises(Unavailable, match=r"'lts'.*'lts-new'"):
            await abandoning.remove_bytes(RecordedStep(), STATE)
    else:
        await abandoning.remove_bytes(RecordedStep(), STATE)
    assert bool(lts.objects) == stays


class Connection:
    """A damaged dataset on which no chain works; keeps the names of the statements."""

    def __init__(self) -> None:
        self.run: list[str] = []
        now = SystemClock().now()
        self.row: dict[str, Any] = {
            "id": DATASET, "pid": "a/b", "owner": "ann", "type": "retrieve", "state": 1, "message": "", "created_at": now,
            "updated_at": now, "version": 1, "retrievable": True, "damaged": 1, "chain": None, "archive_state": 6,
        }  # fmt: skip

    def _note(self, query: str) -> None:
        self.run.append(next(one.name for one in (*datasets.Q, *jobs.Q) if one.text == query))

    async def fetchrow(self, query: str, *_: Any) -> dict[str, Any]:
        self._note(query)
        return self.row

    async def execute(self, query: str, *_: Any) -> None:
        self._note(query)


@pytest.mark.parametrize(("kind", "works"), [("retrieve", False), ("archive", True)])
async def test_a_retrieval_does_not_take_the_place_of_the_chain_that_writes(kind: Any, works: bool) -> None:
    """While a repair was queued it did, and a second repair could begin beside the first."""
    started: list[Any] = []

    async def start(unit: Any, chain: Any, state: Any, *, id: UUID, operation: OperationOf) -> UUID:
        assert operation == OperationOf(chain, "ann", "datasets/a/b")
        started.append(chain)
        return id

    connection = Connection()
    unit: Any = SimpleNamespace(connection=connection, emit=lambda *_: None)
    chains: Any = SimpleNamespace(start=start)
    declared: Any = SimpleNamespace(retrieval="retrieve", archival="archive", repair="repair")
    context: Any = SimpleNamespace(user="ann", roles=(), is_service=False)
    await Jobs(connection, chains, declared).create(unit, context, JobCreate(kind, "a/b"))
    assert started == ["repair" if works else "retrieve"]
    assert ("set_chain" in connection.run) == works
