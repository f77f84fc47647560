"""Undoing an archival chain, or a repair, must not take the only copy."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.archiver.archive.archival import Archiving
from services.archiver.archive.repair import Repairing
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue.machine import ArchiveState
from services.archiver.catalogue.store import datablocks, datasets
from shared.testing.chain import MemoryUnit, RecordedStep
from shared.testing.objects import MemoryObjects

KEY, STAGED, DATA = "datasets/one/datablocks/one_0.tar", "staging/one/one_0.tar", b"tar"
STATE = OfDataset(UUID(int=1), "one", "ann")


class Pool:
    def __init__(self, state: ArchiveState, retrievable: bool) -> None:
        self._row = {"archive_state": int(state), "retrievable": retrievable}
        self.moved = False

    async def fetchrow(self, query: str, *arguments: Any) -> dict[str, Any]:
        self.moved = self.moved or query == datablocks.Q.move.text
        return self._row

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return [{"id": uuid4(), "archive_id": KEY, "storage": "lts", "staging_key": STAGED, "packed_size": len(DATA)}]


@pytest.mark.parametrize(
    ("state", "staged", "stays"),
    [
        (ArchiveState.STARTED, DATA, False),
        (ArchiveState.STARTED, None, True),
        (ArchiveState.STARTED, DATA[:-1], True),
        (ArchiveState.DATASET_ON_ARCHIVE_DISK, DATA, True),
        (ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED, DATA, True),  # found damaged while staging was cleared
    ],
)
async def test_what_counts_as_archived_or_is_nowhere_else_stays(
    state: ArchiveState, staged: bytes | None, stays: bool
) -> None:
    """A chain that is cancelled while it clears staging has its datablocks nowhere else."""
    objects, lts = MemoryObjects(), MemoryObjects()
    await lts.put(KEY, DATA)
    if staged is not None:
        await objects.put(STAGED, staged)
    pool = Pool(state, retrievable=state is not ArchiveState.STARTED)
    units: Any = SimpleNamespace(pool=pool)
    await Archiving(units, objects, lts, "lts").delete_from_lts(RecordedStep(), STATE)
    assert (await lts.head(KEY) is not None) == stays
    assert pool.moved == (not stays)


class Tables:
    """A retrievable dataset that is being archived again. `damaged`: its datablocks that are so, when they are counted."""

    def __init__(self, damaged: int) -> None:
        self.row: dict[str, Any] = {
            "id": STATE.dataset, "pid": "one", "archive_state": int(ArchiveState.STARTED), "retrieve_state": 1, "version": 1,
            "archivable": False, "retrievable": True, "damaged": 1,
        }  # fmt: skip
        self._damaged = damaged

    async def fetchrow(self, query: str, *values: Any) -> dict[str, Any]:
        if query == datasets.Q.count_damaged.text:
            self.row["damaged"] = self._damaged
        return self.row


@pytest.fixture(autouse=True)
def written(monkeypatch: pytest.MonkeyPatch) -> None:
    async def set_lifecycle(db: Tables, dataset: UUID, **changes: Any) -> dict[str, Any]:
        db.row |= {name: value for name, value in changes.items() if value is not None}
        return db.row

    monkeypatch.setattr(datasets, "set_lifecycle", set_lifecycle)
    monkeypatch.setattr(datasets, "changed", lambda row: STATE)


async def after(report: Any, damaged: int) -> tuple[ArchiveState, bool, bool]:
    """The dataset's state, archivable and retrievable, after the handler of a chain that was cancelled."""
    step, unit, tables = RecordedStep(), MemoryUnit(), Tables(damaged)
    unit.connection = tables
    await report(step, STATE)
    for work in step.commits:
        await work(unit)
    return ArchiveState(tables.row["archive_state"]), tables.row["archivable"], tables.row["retrievable"]


@pytest.mark.parametrize(
    ("damaged", "state"),
    [(0, ArchiveState.DATASET_ON_ARCHIVE_DISK), (1, ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED)],
)
async def test_a_repair_that_is_cancelled_when_all_is_whole_leaves_the_dataset_archived(
    damaged: int, state: ArchiveState
) -> None:
    """It was to be archived again, of files that were in staging no more; and two cancelled jobs later it was on no storage."""
    nothing: Any = None
    report = Repairing(nothing, nothing, nothing).report_failure
    assert await after(report, damaged) == (state, bool(damaged), True)


async def test_a_failed_archival_does_not_make_a_retrievable_dataset_irretrievable() -> None:
    nothing: Any = None
    report = Archiving(nothing, nothing, nothing, "lts").report_failure
    assert await after(report, 0) == (ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED, True, True)
