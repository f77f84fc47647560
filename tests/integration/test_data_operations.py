"""Uploads, archive jobs and retrievals as operations: counted while they go on, and cancelled with nothing left behind."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from shared.contracts import catalogue as k
from shared.contracts import retrieval as r
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.operations import (
    Amount,
    Operation,
    OperationList,
    OperationPage,
    OperationRef,
    OperationWait,
    operation_id,
    operation_name,
)
from shared.objects.layout import MARKER
from tests.support.data_rig import DataRig, open_data_rig
from tests.support.servers import Servers
from tests.support.wait import wait_until

FILES = {"a.fits": b"a" * 600_000, "b.fits": b"b" * 600_000}
"""Two datablocks of 1 MiB."""


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[DataRig]:
    async with open_data_rig(servers) as rig:
        yield rig


@pytest_asyncio.fixture
async def events(rig: DataRig, servers: Servers) -> AsyncIterator[list[Operation]]:
    received: list[Operation] = []
    watcher = await servers.connect()

    async def hear(message: Msg) -> None:
        received.append(msgspec.json.decode(message.data, type=Operation))

    await watcher.subscribe("hr.evt.operation.changed.>", cb=hear)
    await watcher.flush()
    yield received
    await watcher.close()


@contextmanager
def unmounted(rig: DataRig) -> Iterator[None]:
    """Long-term storage is not there."""
    marker, aside = rig.lts / MARKER, rig.lts / "aside"
    marker.rename(aside)
    try:
        yield
    finally:
        aside.rename(marker)


async def get(rig: DataRig, service: str, id: UUID, user: str = "ann") -> Operation:
    return await rig.ask(f"{service}.operation.get", OperationRef(id), Operation, user=user)


async def ended(rig: DataRig, service: str, id: UUID) -> Operation:
    found = await rig.ask(f"{service}.operation.wait", OperationWait(id), Operation)
    assert found.done, found
    return found


async def cancel(rig: DataRig, service: str, id: UUID) -> Operation:
    return await rig.ask(f"{service}.operation.cancel", OperationRef(id), Operation)


async def waits_for_storage(rig: DataRig, service: str, id: UUID) -> None:
    async def says() -> bool:
        return "not mounted" in (await get(rig, service, id)).metadata.message

    await wait_until(says, on_timeout="it says what it waits for")


async def packed(rig: DataRig, pid: str) -> None:
    await rig.register(pid, FILES)
    await rig.upload(pid, FILES)
    await rig.finish(pid)
    await rig.until(pid, "datasetCreated")


async def test_what_is_stored_is_counted(rig: DataRig, events: list[Operation]) -> None:
    pid = "operations/in"
    await rig.store(pid, FILES)
    asked = OperationList(target=f"datasets/{pid}")
    page = await rig.ask("archiver.operation.list", asked, OperationPage)
    archive, upload = page.items
    size = (await rig.dataset(pid)).packed_size
    both = {"datablocks": Amount(2, 2), "bytes": Amount(size, size)}
    for one, kind in ((archive, "archive"), (upload, "upload")):
        assert (one.done, one.metadata.kind, one.metadata.state, one.metadata.owner) == (True, kind, "succeeded", "ann")
    assert upload.metadata.progress == both
    assert archive.metadata.progress == both | {f"validated_{unit}": amount for unit, amount in both.items()}
    assert msgspec.convert(upload.result, k.Dataset).pid == pid
    job = msgspec.convert(archive.result, k.Job)
    assert (operation_name(job.id), job.job_status_message) == (archive.name, "finishedSuccessful")
    await wait_until(lambda: bool(events) and events[-1] == archive, on_timeout=lambda: events)
    counted = [one.metadata.progress.get("datablocks") for one in events if one.name == archive.name]
    seen = [amount for amount in dict.fromkeys(counted) if amount != Amount(1, 2)]
    assert seen == [None, Amount(0, 2), Amount(2, 2)], "one between may be skipped: they are stored once a second"
    assert not (await rig.ask("archiver.operation.list", asked, OperationPage, user="bob")).items


async def test_a_retrieve_job_goes_on_at_the_retriever(rig: DataRig) -> None:
    pid = "operations/back"
    await rig.store(pid, FILES)
    id = (await rig.ask("archiver.job.create", k.JobCreate("retrieve", pid), k.Job)).id
    with pytest.raises(NotFound):
        await ended(rig, "archiver", id)
    found = await ended(rig, "retriever", id)
    assert (found.metadata.kind, found.metadata.target) == ("retrieve", f"datasets/{pid}")
    assert found.metadata.progress["datablocks"] == found.metadata.progress["validated_datablocks"] == Amount(2, 2)
    result = msgspec.convert(found.result, r.Retrieval)
    assert (result.id, result.status, result.blocks_back) == (id, "done", 2)
    with pytest.raises(Conflict, match="succeeded"):
        await cancel(rig, "retriever", id)


async def test_an_archive_job_is_cancelled_and_can_be_made_again(rig: DataRig) -> None:
    pid = "operations/not-now"
    await packed(rig, pid)
    with unmounted(rig):
        id = await rig.archive(pid)
        await waits_for_storage(rig, "archiver", id)
        assert (await cancel(rig, "archiver", id)).metadata.state == "cancelling"
    assert (await ended(rig, "archiver", id)).metadata.state == "cancelled"
    assert (await rig.ask("archiver.job.get", k.JobRef(id), k.Job)).job_status_message == "finishedUnsuccessful"
    assert (await rig.until(pid, "scheduleArchiveJobFailed")).datasetlifecycle.archivable
    again = await rig.archive(pid)
    await rig.until(pid, "datasetOnArchiveDisk")
    assert (await ended(rig, "archiver", again)).metadata.state == "succeeded"


async def test_a_retrieval_is_cancelled_with_its_job(rig: DataRig) -> None:
    pid = "operations/never-mind"
    await rig.store(pid, FILES)
    with unmounted(rig):
        id = (await rig.ask("archiver.job.create", k.JobCreate("retrieve", pid), k.Job)).id

        async def there() -> bool:
            try:
                return not (await get(rig, "retriever", id)).done
            except NotFound:
                return False

        await wait_until(there)
        await waits_for_storage(rig, "retriever", id)
        await cancel(rig, "retriever", id)
        assert (await ended(rig, "retriever", id)).metadata.state == "cancelled"

    async def received() -> bool:
        job = await rig.ask("archiver.job.get", k.JobRef(id), k.Job)
        return job.job_status_message == "finishedUnsuccessful"

    await wait_until(received, on_timeout="its job has ended too")
    assert (await rig.ask("retriever.retrieval.get", r.RetrievalRef(id), r.Retrieval)).status == "cancelled"


async def test_nobody_elses_and_none_that_there_is_not(rig: DataRig) -> None:
    pid = "operations/mine"
    await packed(rig, pid)
    page = await rig.ask("archiver.operation.list", OperationList(target=f"datasets/{pid}"), OperationPage)
    id = operation_id(page.items[0])
    with pytest.raises(NotFound):
        await get(rig, "archiver", id, user="bob")
    for service in ("archiver", "retriever"):
        with pytest.raises(NotFound):
            await get(rig, service, uuid4())
