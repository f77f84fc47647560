"""What is found on long-term storage, and what a report of it changes."""

import hashlib
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from services.archiver.catalogue.damage import verb_for
from services.archiver.catalogue.machine import BlockState
from services.retriever.retrieval.chain import Retrieve
from services.retriever.retrieval.examine import Found, examine
from services.retriever.retrieval.state import CorruptError, Retrieving
from services.retriever.retrieval.store import Q, retrieval_key
from shared.chain.errors import Later
from shared.contracts.catalogue import DamageKind, Datablock, DatablockReport
from shared.contracts.errors import Unavailable
from shared.testing.chain import RecordedStep
from shared.testing.objects import MemoryObjects

KEY, DATA, ID = "datasets/1/datablocks/a_0.tar", b"as it was written", UUID(int=1)
CHK = hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (DATA, None),
        (None, Found("missing")),
        (DATA[:-1], Found("size", len(DATA) - 1, hashlib.sha256(DATA[:-1]).hexdigest())),
        (DATA + b"!", Found("size", len(DATA) + 1, hashlib.sha256(DATA + b"!").hexdigest())),
        (DATA.swapcase(), Found("checksum", len(DATA), hashlib.sha256(DATA.swapcase()).hexdigest())),
        (b"", Found("size", 0, hashlib.sha256(b"").hexdigest())),
    ],
)
async def test_what_is_there(there: bytes | None, found: Found | None) -> None:
    lts = MemoryObjects()
    if there is not None:
        await lts.put(KEY, there)
    assert await examine(lts, KEY, len(DATA), CHK) == found


async def test_a_storage_that_is_not_there_says_nothing_about_a_datablock() -> None:
    lts = MemoryObjects()
    await lts.put(KEY, DATA)
    with lts.replaced(), pytest.raises(Unavailable):
        await examine(lts, KEY, len(DATA), CHK)


async def test_an_object_that_cannot_be_read_on_a_storage_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was waited for, for ever, as if the storage were away."""
    monkeypatch.setattr("services.retriever.retrieval.examine.PAUSES", (0, 0))
    retrieve, objects, lts, pool, catalogue = rig()
    await lts.put(KEY, DATA)
    lts.unreadable.add(KEY)
    await retrieve.download_datablocks(RecordedStep(), STATE)
    assert [found.damage for found in catalogue.reports] == ["unreadable"]
    assert pool.writes == [("set_damage", "unreadable")]
    objects.assert_empty()


async def test_an_object_that_can_be_read_again_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    lts = MemoryObjects()
    await lts.put(KEY, DATA)
    lts.unreadable.add(KEY)
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        lts.unreadable.clear()

    monkeypatch.setattr("services.retriever.retrieval.examine.sleep", sleep)
    assert await examine(lts, KEY, len(DATA), CHK) is None
    assert len(waits) == 1


async def test_a_copy_in_retrieval_storage_that_cannot_be_read_is_brought_again() -> None:
    retrieve, objects, lts, _, _ = rig()
    await lts.put(KEY, DATA)
    await objects.put(retrieval_key(KEY), DATA)
    objects.unreadable.add(retrieval_key(KEY))
    with pytest.raises(CorruptError):
        await retrieve.validate_datablocks(RecordedStep(), STATE)
    objects.assert_empty()


@pytest.mark.parametrize(
    ("state", "copy", "damage", "verb"),
    [
        (BlockState.VALIDATED, 2, "checksum", "damage"),
        (BlockState.VALIDATED, 2, None, None),
        (BlockState.VALIDATED, 1, "missing", None),  # of the copy before
        (BlockState.DAMAGED, 2, "missing", None),  # it is known
        (BlockState.DAMAGED, 2, None, "heal"),
        (BlockState.DAMAGED, 1, None, None),
        (BlockState.REGISTERED, 2, "missing", None),  # it is being archived again
        (BlockState.STORED, 2, "checksum", None),  # and has yet to be read back
        (BlockState.STORED, 2, None, None),
    ],
)
def test_what_a_report_changes(state: BlockState, copy: int, damage: DamageKind | None, verb: str | None) -> None:
    block = {"state": int(state), "copy": 2}
    assert verb_for(block, DatablockReport("a/b", ID, copy, damage)) == verb


class Catalogue:
    """Answers reports with `status`, and keeps them."""

    def __init__(self, status: Any, copy: int = 1) -> None:
        self._answer, self.reports = (status, copy), []  # type: ignore[var-annotated]

    async def report(self, owner: str, pid: str, datablock: UUID, copy: int, found: Found | None) -> Datablock:
        self.reports.append(found)
        status, now = self._answer
        return Datablock(datablock, pid, KEY, 1, len(DATA), CHK, "lts", 1, status=status, copy=now)


class Pool:
    """Keeps what is written into the row of the one datablock."""

    def __init__(self) -> None:
        self.block: dict[str, Any] = {
            "archive_id": KEY, "packed_size": len(DATA), "chk": CHK, "datablock": ID, "copy": 1, "suspect": False,
            "damage": "", "retrieved": False, "storage": "lts",
        }  # fmt: skip
        self.writes: list[tuple[str, Any]] = []

    async def fetch(self, query: str, *_: Any) -> list[dict[str, Any]]:
        return [self.block]

    async def execute(self, query: str, *arguments: Any) -> None:
        self.writes.append((next(known.name for known in Q if known.text == query), arguments[0]))


def rig(status: Any = "damaged", copy: int = 1) -> tuple[Any, MemoryObjects, MemoryObjects, Pool, Catalogue]:
    objects, lts, pool, catalogue = MemoryObjects(), MemoryObjects(), Pool(), Catalogue(status, copy)
    units: Any = SimpleNamespace(pool=pool)
    peers: Any = catalogue
    return Retrieve(units, objects, lts, peers, "lts"), objects, lts, pool, catalogue


STATE = Retrieving(ID, "a/b", "ann")


async def test_what_is_damaged_is_reported_then_noted() -> None:
    retrieve, objects, lts, pool, catalogue = rig()
    await lts.put(KEY, DATA.swapcase())
    await retrieve.download_datablocks(RecordedStep(), STATE)
    assert [found.damage for found in catalogue.reports] == ["checksum"]
    assert pool.writes == [("set_damage", "checksum")]
    objects.assert_empty()


@pytest.mark.parametrize(("status", "copy"), [("stored", 2), ("validated", 2), ("registered", 1)])
async def test_what_is_being_archived_again_is_waited_for(status: str, copy: int) -> None:
    """Its bad object is gone, its good one is not there yet: no damage."""
    retrieve, _, _, pool, _ = rig(status, copy)
    with pytest.raises(Later, match="archived again"):
        await retrieve.download_datablocks(RecordedStep(), STATE)
    assert pool.writes == [("set_copy", copy)]


async def test_what_was_read_wrong_once_is_no_damage() -> None:
    """A fault on the way: the second look finds it as it has to be."""
    retrieve, _, lts, pool, catalogue = rig()
    await lts.put(KEY, DATA.swapcase())
    get = lts.get

    def once(key: str, **range: Any) -> Any:
        lts.objects[KEY], lts.get = DATA.swapcase(), again  # type: ignore[method-assign]
        return get(key, **range)

    def again(key: str, **range: Any) -> Any:
        lts.objects[KEY] = DATA
        return get(key, **range)

    lts.get = once  # type: ignore[method-assign]
    with pytest.raises(Later, match="once not"):
        await retrieve.download_datablocks(RecordedStep(), STATE)
    assert (pool.writes, catalogue.reports) == ([], [])


async def test_what_was_put_right_is_reported_too() -> None:
    retrieve, objects, lts, pool, catalogue = rig("validated")
    await lts.put(KEY, DATA)
    pool.block["suspect"] = True
    await retrieve.download_datablocks(RecordedStep(), STATE)
    assert catalogue.reports == [None]
    assert objects.objects == {retrieval_key(KEY): DATA}


async def test_a_storage_that_is_away_is_waited_for() -> None:
    retrieve, _, lts, pool, catalogue = rig()
    await lts.put(KEY, DATA)
    with lts.replaced(), pytest.raises(Unavailable):
        await retrieve.download_datablocks(RecordedStep(), STATE)
    assert (pool.writes, catalogue.reports) == ([], [])


async def test_a_datablock_of_another_storage_is_waited_for() -> None:
    """Long-term storage moved, or the retriever's settings are not the archiver's: each of its datablocks was found missing."""
    retrieve, _, _, pool, catalogue = rig()
    pool.block["storage"] = "lts-before"
    with pytest.raises(Unavailable, match=r"'lts-before'.*'lts'"):
        await retrieve.download_datablocks(RecordedStep(), STATE)
    assert (pool.writes, catalogue.reports) == ([], [])


@pytest.mark.parametrize("storage", ["lts", None])
async def test_a_datablock_of_this_storage_is_brought(storage: str | None) -> None:
    retrieve, objects, lts, pool, _ = rig()
    await lts.put(KEY, DATA)
    pool.block["storage"] = storage
    await retrieve.download_datablocks(RecordedStep(), STATE)
    assert objects.objects == {retrieval_key(KEY): DATA}
