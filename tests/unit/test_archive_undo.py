"""Undoing an archival chain must not take the only copy."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from services.archiver.archive.archival import Archiving
from services.archiver.archive.state import OfDataset
from services.archiver.catalogue.machine import ArchiveState
from shared.testing.objects import MemoryObjects

KEY = "datasets/one/datablocks/one_0.tar"


class Pool:
    def __init__(self, state: ArchiveState, retrievable: bool) -> None:
        self._row = {"archive_state": int(state), "retrievable": retrievable}

    async def fetchrow(self, query: str, *arguments: Any) -> dict[str, Any]:
        return self._row

    async def fetch(self, query: str, *arguments: Any) -> list[dict[str, Any]]:
        return [{"id": uuid4(), "archive_id": KEY, "storage": "lts"}]


@pytest.mark.parametrize(
    ("state", "stays"),
    [
        (ArchiveState.STARTED, False),
        (ArchiveState.DATASET_ON_ARCHIVE_DISK, True),
        (ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED, True),  # found damaged while staging was cleared
    ],
)
async def test_what_counts_as_archived_stays(state: ArchiveState, stays: bool) -> None:
    """A chain that is cancelled while it clears staging has its datablocks nowhere else."""
    lts = MemoryObjects()
    await lts.put(KEY, b"tar")
    units: Any = SimpleNamespace(pool=Pool(state, retrievable=stays))
    context: Any = None
    await Archiving(units, MemoryObjects(), lts, "lts").delete_from_lts(context, OfDataset(uuid4(), "one", "ann"))
    assert (await lts.head(KEY) is not None) == stays
