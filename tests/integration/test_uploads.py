"""Uploads that go on, are corrected, abandoned, or forgotten: the archiver's part, and the sweep of its rooms and the retriever's."""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from services.archiver.archive.sweep import LANDING, STAGING, Seen, is_needed
from services.archiver.archive.sweep import Sweep as ArchiverSweep
from services.archiver.catalogue.machine import ArchiveState
from services.retriever.retrieval.eviction import Sweep as RetrieverSweep
from shared.contracts import catalogue as k
from shared.contracts import retrieval as r
from shared.contracts.errors import AlreadyExists, Conflict, NotFound
from shared.contracts.ids import uuid7
from shared.runtime.clock import SystemClock
from shared.service.outbox import Relay
from shared.service.unit import Units
from tests.support.data_rig import DataRig, open_data_rig, pages
from tests.support.file_names import ORDINARY
from tests.support.servers import Servers
from tests.support.wait import wait_until

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[DataRig]:
    async with open_data_rig(servers) as rig:
        yield rig


@pytest.fixture
def pid() -> str:
    return f"test/{uuid4().hex[:12]}"


async def uploads(rig: DataRig, pid: str, size: int = 2) -> dict[str, bool]:
    found = await pages(rig, "archiver.upload.list", k.UploadQuery, k.UploadPage, pid=pid, size=size)
    assert all(len(page.items) <= size for page in found)
    return {one.path: one.uploaded for page in found for one in page.items}


async def unchecked(rig: DataRig, pid: str, path: str, data: bytes) -> None:
    """As a store that passes over what was signed would have taken it."""
    await rig.objects.call("put_object", f"{LANDING}{(await rig.dataset(pid)).id}/{path}", body=data)


# -- go on, correct


async def test_what_is_uploaded_is_seen_page_by_page(rig: DataRig, pid: str) -> None:
    files = {f"d/{n}": bytes(n) for n in range(5)} | {"d.x": b"", "d/ü": b"u"}
    await rig.register(pid, files)
    assert await uploads(rig, pid) == dict.fromkeys(files, False)
    await rig.upload(pid, {"d/3": files["d/3"], "d.x": b"", "d/ü": b"u"})
    assert await uploads(rig, pid) == dict.fromkeys(files, False) | {"d/3": True, "d.x": True, "d/ü": True}
    await rig.upload(pid, files)
    await unchecked(rig, pid, "d/4", b"toolong")
    assert await uploads(rig, pid, 1000) == dict.fromkeys(files, True) | {"d/4": False}
    await rig.upload(pid, files)
    await rig.finish(pid)
    await rig.until(pid, "datasetCreated")
    with pytest.raises(Conflict):
        await uploads(rig, pid)


async def test_every_name_that_is_allowed_comes_back(rig: DataRig, pid: str) -> None:
    """Through the store, its lists, the tar and its manifest."""
    files = {f"{n}/{path}": path.encode() for n, path in enumerate(ORDINARY)}
    await rig.store(pid, files)
    page = await rig.ask("retriever.retrieval.urls", r.DownloadQuery(await rig.retrieve(pid)), r.Downloads)
    async with httpx.AsyncClient(trust_env=False) as http:
        data = (await http.get(page.items[0].url)).content
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {one.name.partition("/data/")[2]: tar.extractfile(one) for one in tar if "/data/" in one.name}
        assert {path: file.read() for path, file in found.items() if file is not None} == files


async def test_a_file_that_has_changed_is_registered_anew(rig: DataRig, pid: str) -> None:
    """What was uploaded of it before is gone; of the others it stays."""
    await rig.register(pid, {"a": b"one", "b": b"two", "c": b"three"})
    await rig.upload(pid, {"a": b"one", "b": b"two"})
    with pytest.raises(AlreadyExists, match="'a'"):
        await rig.add(pid, {"a": b"uno"})
    for _ in range(2):
        made = await rig.add(pid, {"a": b"uno", "b": b"two", "d": b"four"}, replace=True)
        assert (made.number_of_files, made.size) == (3, 10)
    seen = await rig.dataset(pid)
    assert (seen.number_of_files, seen.size) == (4, 15)
    assert await uploads(rig, pid) == {"a": False, "b": True, "c": False, "d": False}
    counted = await rig.sql(
        "SELECT size, files FROM archiver.origdatablocks WHERE dataset = $1 ORDER BY files", seen.id
    )
    assert [tuple(row) for row in counted] == [(5, 1), (10, 3)]
    files = {"a": b"uno", "b": b"two", "c": b"three", "d": b"four"}
    await rig.upload(pid, files)
    await rig.finish(pid)
    await rig.until(pid, "datasetCreated")
    with pytest.raises(Conflict):
        await rig.add(pid, {"a": b"eins"}, replace=True)


async def test_what_is_not_the_registered_file_is_found_when_it_is_packed(rig: DataRig, pid: str) -> None:
    """In a store that passes over checksums, other bytes of the right size pass for the file. They are removed, and the next call
    sends it."""
    await rig.register(pid, {"a": b"right", "b": b"b"})
    await rig.upload(pid, {"b": b"b"})
    await unchecked(rig, pid, "a", b"wrong")
    assert await uploads(rig, pid) == {"a": True, "b": True}
    await rig.finish(pid)
    await rig.until(pid, "missingFilesError")
    assert any("a: its bytes hash to" in reason for reason in (await rig.explain(pid)).reasons)

    async def ended() -> bool:
        return await uploads(rig, pid) == {"a": False, "b": True}

    await wait_until(ended)
    await rig.upload(pid, {"a": b"right"})
    await rig.finish(pid)
    await rig.until(pid, "datasetCreated")


# -- addresses that are used for something else, or late


async def test_an_address_is_for_the_registered_bytes_only(rig: DataRig, pid: str) -> None:
    made = await rig.register(pid, {"a": b"0123456789"})
    signed = await rig.ask("archiver.upload.sign", k.UploadSign(pid, ["a"]), k.UploadUrls)
    (one,) = signed.urls
    left = datetime.fromisoformat(signed.expires_at) - SystemClock().now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    async with httpx.AsyncClient(trust_env=False) as http:
        for data in (b"x" * 5_000_000, b"9876543210"):
            assert not (await http.put(one.url, content=data, headers=one.headers)).is_success
        assert await bytes_of(rig, made.id) == []
        assert await uploads(rig, pid) == {"a": False}
        assert (await http.put(one.url, content=b"0123456789", headers=one.headers)).is_success
    assert await uploads(rig, pid) == {"a": True}


async def test_what_comes_after_archiving_changes_nothing_and_is_swept(rig: DataRig, pid: str) -> None:
    """To an address that was signed before, and is valid for some minutes yet."""
    files = {"a": b"0123456789", "b": b"bb"}
    made = await rig.register(pid, files)
    signed = await rig.ask("archiver.upload.sign", k.UploadSign(pid, ["a"]), k.UploadUrls)
    await rig.store(pid, files)
    before = await rig.dataset(pid)
    (one,) = signed.urls
    async with httpx.AsyncClient(trust_env=False) as http:
        for data in (b"x" * 5_000_000, b"9876543210", files["a"]):
            await http.put(one.url, content=data, headers=one.headers)
    assert await bytes_of(rig, made.id) == [f"{LANDING}{made.id}/a"]
    with pytest.raises(Conflict, match="takes no more files"):
        await rig.ask("archiver.upload.sign", k.UploadSign(pid, ["a"]), k.UploadUrls)
    assert await rig.dataset(pid) == before
    await sweep(rig, "archiver", 7.02)
    assert await bytes_of(rig, made.id) == []
    assert await rig.dataset(pid) == before
    page = await rig.ask("retriever.retrieval.urls", r.DownloadQuery(await rig.retrieve(pid)), r.Downloads)
    async with httpx.AsyncClient(trust_env=False) as http:
        data = (await http.get(page.items[0].url)).content
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {file.name.rpartition("/")[2]: tar.extractfile(file) for file in tar if "/data/" in file.name}
        assert {path: file.read() for path, file in found.items() if file is not None} == files


async def test_an_upload_that_is_being_cancelled_cannot_be_finished_again(rig: DataRig, pid: str) -> None:
    """Its chain would look at nothing again when it has ended: the request would be forgotten."""
    made = await rig.register(pid, {"a": b"one"})
    await rig.finish(pid)
    await rig.until(pid, "missingFilesError")
    chain = "(SELECT chain FROM archiver.datasets WHERE id = $1)"
    await rig.sql(
        "UPDATE archiver.chains SET status = 1, cancelling = true, due_at = now() + interval '1 hour', "
        f"lease_until = now() + interval '1 hour', ended_at = NULL WHERE id = {chain}",
        made.id,
    )
    await rig.upload(pid, {"a": b"one"})
    with pytest.raises(Conflict, match="is being cancelled"):
        await rig.finish(pid)
    await rig.sql(
        f"UPDATE archiver.chains SET status = 5, cancelling = false, due_at = NULL, ended_at = now() WHERE id = {chain}",
        made.id,
    )
    await rig.finish(pid)
    await rig.until(pid, "datasetCreated")


# -- abandon


async def abandon(rig: DataRig, pid: str, id: UUID | None = None, user: str = "ann") -> k.Abandoned:
    return await rig.ask("archiver.dataset.abandon", k.DatasetAbandon(pid, id), k.Abandoned, user=user)


async def bytes_of(rig: DataRig, dataset: UUID) -> list[str]:
    return [key for room in (LANDING, STAGING) for key in await rig.keys(f"{room}{dataset}/")]


@pytest.mark.parametrize("state", ["registered", "uploaded", "missing", "packed", "failed"])
async def test_a_dataset_is_abandoned(rig: DataRig, pid: str, state: str) -> None:
    """Its pid is free at once, its bytes soon; a repeat is harmless, also when somebody has the pid again."""
    files = {"a": b"one", "b": b"two"}
    made = await rig.register(pid, files)
    if state != "registered":
        await rig.upload(pid, {"a": b"one"} if state == "missing" else files)
    if state in ("missing", "packed", "failed"):
        await rig.finish(pid)
        await rig.until(pid, "missingFilesError" if state == "missing" else "datasetCreated")
    if state == "failed":
        await rig.sql("UPDATE archiver.datasets SET archive_state = $2 WHERE id = $1", made.id, 6)
    with pytest.raises(NotFound):
        await abandon(rig, pid, user="eve")
    gone = await abandon(rig, pid)
    assert (gone.id, gone.number_of_files, gone.size) == (made.id, 2, 6)
    with pytest.raises(NotFound):
        await rig.dataset(pid)
    assert await abandon(rig, pid) == gone

    async def freed() -> bool:
        return await bytes_of(rig, made.id) == []

    await wait_until(freed)
    other = await rig.register(pid, {"c": b"another's"}, user="eve")
    assert await abandon(rig, pid, made.id) == gone
    assert (await rig.dataset(pid, user="eve")).id == other.id
    with pytest.raises(NotFound):
        await abandon(rig, pid)


async def test_what_is_archived_is_not_abandoned(rig: DataRig, pid: str) -> None:
    await rig.store(pid, {"a": b"one"})
    with pytest.raises(Conflict, match="DATASET_ON_ARCHIVE_DISK"):
        await abandon(rig, pid)
    assert (await rig.dataset(pid)).datasetlifecycle.retrievable
    await rig.sql("UPDATE archiver.datablocks SET state = 6 WHERE dataset = $1", (await rig.dataset(pid)).id)
    await rig.sql("UPDATE archiver.datasets SET archive_state = 6, retrievable = false WHERE pid = $1", pid)
    with pytest.raises(Conflict, match="was archived"):  # what is damaged may be repaired
        await abandon(rig, pid)
    dataset = await rig.dataset(pid)
    assert list((rig.lts / "data/datasets" / str(dataset.id)).rglob("*.tar"))
    with pytest.raises(NotFound):
        await abandon(rig, f"{pid}-never")


async def test_abandoned_beside_the_chain_that_packs_it(rig: DataRig) -> None:
    """At whatever step that is: either it is refused and the dataset is whole, or nothing of it is left."""
    files = {f"{n}": bytes([n]) * 200_000 for n in range(12)}
    for round in range(6):
        pid = f"race/{uuid4().hex[:12]}"
        made = await rig.register(pid, files)
        await rig.upload(pid, files)
        await rig.finish(pid)
        staged = f"{STAGING}{made.id}/"
        if round % 3:  # otherwise at once

            async def begun(staged: str = staged, count: int = round % 3) -> bool:
                return len(await rig.keys(staged)) >= count

            await wait_until(begun, every=0.005)
        gone = await asyncio.gather(*(abandon(rig, pid) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(one, k.Abandoned | Conflict) for one in gone), gone
        assert (await abandon(rig, pid)).id == made.id

        async def freed(dataset: UUID = made.id) -> bool:
            live = await rig.sql("SELECT kind FROM archiver.chains WHERE due_at IS NOT NULL")
            return not live and await bytes_of(rig, dataset) == []

        await wait_until(freed)
        left = await rig.sql("SELECT 1 FROM archiver.files WHERE dataset = $1", made.id)
        assert left == []


# -- sweep


@pytest.mark.parametrize("room", [LANDING, STAGING])
@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("state", ArchiveState)
def test_what_waits_for_something_is_never_swept(room: str, live: bool, old: bool, state: ArchiveState) -> None:
    now, keep = SystemClock().now(), DAY
    touched = now - (2 * DAY if old else DAY / 2)
    waits = live or state in (
        ArchiveState.DATASET_CREATED,
        ArchiveState.STARTED,
        ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED,
    )
    needed = is_needed(room, Seen(state, live, touched), now - 9 * DAY, now, keep)
    assert needed == (waits or not old)


def test_what_was_sent_to_repair_a_dataset_is_swept_by_its_age() -> None:
    now = SystemClock().now()
    seen = [Seen(ArchiveState.SCHEDULE_ARCHIVE_JOB_FAILED, False, now - n * DAY, stored=True) for n in (0.5, 2)]
    assert [is_needed(LANDING, one, now - 9 * DAY, now, DAY) for one in seen] == [True, False]


def test_of_an_abandoned_dataset_its_age_counts() -> None:
    now = SystemClock().now()
    assert is_needed(LANDING, None, now - DAY / 2, now, DAY, abandoned=True)
    assert not is_needed(LANDING, None, now - 2 * DAY, now, DAY, abandoned=True)


@pytest.mark.parametrize("room", [LANDING, STAGING])
def test_what_the_database_does_not_know_stays(room: str) -> None:
    """It may be the wrong one, or an older one."""
    now = SystemClock().now()
    assert is_needed(room, None, now - 900 * DAY, now, DAY)


class Later(SystemClock):
    """So many days from now."""

    def __init__(self, days: float) -> None:
        self._days = days

    def now(self) -> datetime:
        return super().now() + self._days * DAY


async def sweep(rig: DataRig, service: str, days: float, keep: timedelta = 7 * DAY) -> int:
    pool = await asyncpg.create_pool(rig.database.url(service), min_size=1, max_size=2)
    try:
        units = Units(pool, Relay(rig.bus, pool, service))
        kind = ArchiverSweep if service == "archiver" else RetrieverSweep
        return await kind(units, rig.objects, Later(days), keep).run_once()
    finally:
        await pool.close()


async def abandoned(rig: DataRig, pid: str) -> UUID:
    """The id of a dataset that was given up, and whose chain has ended."""
    made = await rig.register(pid, {"a": b"one"})
    await rig.ask("archiver.dataset.abandon", k.DatasetAbandon(pid), k.Abandoned)

    async def ended() -> bool:
        query = "SELECT 1 FROM archiver.chains WHERE due_at IS NOT NULL AND state->>'dataset' = $1"
        return not await rig.sql(query, str(made.id))

    await wait_until(ended)
    return made.id


async def test_uploads_with_which_nobody_goes_on_are_swept(rig: DataRig, pid: str) -> None:
    begun = await rig.register(f"{pid}-begun", {"a": b"one", "b": b"two"})
    await rig.upload(f"{pid}-begun", {"a": b"one"})
    waits = await rig.register(f"{pid}-waits", {"a": b"one"})
    await rig.upload(f"{pid}-waits", {"a": b"one"})
    await rig.finish(f"{pid}-waits")
    await rig.until(f"{pid}-waits", "datasetCreated")
    await rig.store(f"{pid}-stored", {"a": b"one"})
    late = (await rig.dataset(f"{pid}-stored")).id
    orphan, unknown = (await abandoned(rig, f"{pid}-orphan")), uuid7()
    for dataset in (late, orphan, unknown):  # sent to an address that was still valid
        await rig.objects.put(f"{LANDING}{dataset}/late", b"x" * 100)
    for dataset in (orphan, unknown):
        await rig.objects.put(f"{STAGING}{dataset}/{uuid7()}/x.tar", b"x" * 100)
    await rig.objects.put(f"{LANDING}not-ours", b"x")

    async def left() -> dict[UUID, int]:
        return {id: len(await bytes_of(rig, id)) for id in (begun.id, waits.id, late, orphan)}

    await sweep(rig, "archiver", 6)
    assert await left() == {begun.id: 1, waits.id: 2, late: 1, orphan: 2}
    await sweep(rig, "archiver", 7.007)  # the address that was handed out ends in 15 minutes, and counts from there
    assert await left() == {begun.id: 1, waits.id: 2, late: 1, orphan: 0}
    await sweep(rig, "archiver", 7.02)
    assert await left() == {begun.id: 0, waits.id: 2, late: 0, orphan: 0}
    assert await sweep(rig, "archiver", 900) == 0
    assert len(await bytes_of(rig, unknown)) == 2, "a database that does not know a dataset may be the wrong one"
    assert await rig.keys(f"{LANDING}not-ours") == [f"{LANDING}not-ours"]
    assert "nobody went on with it" in (await rig.explain(f"{pid}-begun")).reasons[0]
    assert await uploads(rig, f"{pid}-begun") == {"a": False, "b": False}
    await rig.upload(f"{pid}-begun", {"a": b"one", "b": b"two"})
    await rig.finish(f"{pid}-begun")
    await rig.until(f"{pid}-begun", "datasetCreated")
    await rig.archive(f"{pid}-waits")
    await rig.until(f"{pid}-waits", "datasetOnArchiveDisk")


async def test_retrieval_storage_is_swept_and_filled_again(rig: DataRig, pid: str) -> None:
    await rig.store(pid, {"a": b"one"})
    first = await rig.retrieve(pid)
    key = (await rig.keys("retrieval/"))[-1]

    async def there() -> bool:
        return await rig.objects.head(key) is not None

    await sweep(rig, "retriever", 0.5, DAY)
    assert await there()
    await rig.sql("UPDATE retriever.retrievals SET created_at = now() - interval '30 days' WHERE id = $1", first)
    await sweep(rig, "retriever", 0.5, DAY)
    assert await there(), "it took a month to bring it back, and nobody could have had it before"
    page = await rig.ask("retriever.retrieval.urls", r.DownloadQuery(first), r.Downloads)
    await sweep(rig, "retriever", 1.009, DAY)
    assert await there(), "an address of it expires in 15 minutes, and a long download may ask for another a day later"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(page.items[0].url)).status_code == 200
    await rig.sql("UPDATE retriever.chains SET status = 1, due_at = now() + interval '9 days' WHERE id = $1", first)
    await sweep(rig, "retriever", 30, DAY)
    assert await there(), "a chain works with it"
    await rig.sql("UPDATE retriever.chains SET status = 3, due_at = NULL WHERE id = $1", first)
    assert await sweep(rig, "retriever", 30, DAY) >= 1
    assert not await there()
    with pytest.raises(Conflict, match="were removed again"):
        await rig.ask("retriever.retrieval.urls", r.DownloadQuery(first), r.Downloads)
    second = await rig.retrieve(pid)
    assert await there()
    assert (await rig.ask("retriever.retrieval.urls", r.DownloadQuery(second), r.Downloads)).items


async def test_retrievals_that_begin_while_it_is_swept(rig: DataRig, pid: str) -> None:
    """Each ends with its datablock there."""
    await rig.store(pid, {"a": b"one"})
    await rig.retrieve(pid)
    for _ in range(5):
        await rig.sql("UPDATE retriever.retrievals SET created_at = now() - interval '30 days', retrieved_at = NULL")
        done, _ = await asyncio.gather(rig.retrieve(pid), sweep(rig, "retriever", 0, DAY))
        page = await rig.ask("retriever.retrieval.urls", r.DownloadQuery(done), r.Downloads)
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(page.items[0].url)).status_code == 200
        await rig.sql("UPDATE retriever.retrievals SET addresses_until = NULL")
