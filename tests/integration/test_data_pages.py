"""Every reply that grows with the data comes in pages, or says what is too much: with 2,100 datablocks, and long names."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from shared.contracts import catalogue as k
from shared.contracts import retrieval as r
from shared.contracts.errors import TooLarge
from tests.support.data_rig import DataRig, open_data_rig, pages
from tests.support.servers import Servers

BLOCKS = 2100
PID = "facility/many"


@pytest.fixture(scope="module")
async def rig(servers: Servers) -> AsyncIterator[DataRig]:
    async with open_data_rig(servers) as rig:
        yield rig


@pytest.fixture(scope="module")
async def retrieval(rig: DataRig) -> UUID:
    """Of a dataset that has been stored and retrieved, and has got 2,099 datablocks more since, in the tables alone."""
    await rig.store(PID, {"one": b"1"})
    made = await rig.retrieve(PID)
    dataset = (await rig.dataset(PID)).id
    await rig.sql(
        "INSERT INTO archiver.datablocks (id, dataset, number, name, state, size, files, packed_size, chk, archive_id, storage) "
        "SELECT gen_random_uuid(), dataset, n, name, state, size, files, packed_size, chk, "
        "replace(archive_id, '_0.tar', format('_%s.tar', n)), storage "
        "FROM archiver.datablocks, generate_series(1, $2) n WHERE dataset = $1",
        dataset, BLOCKS - 1,
    )  # fmt: skip
    await rig.sql(
        "INSERT INTO archiver.files (dataset, path, size, chk, origdatablock, datablock, start) "
        "SELECT b.dataset, format('f/%s', b.number), 1, f.chk, f.origdatablock, b.id, 1024 FROM archiver.datablocks b "
        "JOIN archiver.files f ON f.dataset = b.dataset AND f.path = 'one' WHERE b.dataset = $1 AND b.number > 0",
        dataset,
    )
    await rig.sql("UPDATE archiver.datasets SET datablocks = $2 WHERE id = $1", dataset, BLOCKS)
    await rig.sql(
        "INSERT INTO retriever.datablocks (retrieval, datablock, archive_id, packed_size, chk, retrieved) "
        "SELECT $1, b.id, b.archive_id, b.packed_size, b.chk, true FROM archiver.datablocks b "
        "WHERE b.dataset = $2 AND b.number > 0",
        made, dataset,
    )  # fmt: skip
    return made


async def test_addresses(rig: DataRig, retrieval: UUID) -> None:
    found: list[r.Download] = []
    token = ""
    for size in (1000, 7, 1, 1):
        page = await rig.ask("retriever.retrieval.urls", r.DownloadQuery(retrieval, size, token), r.Downloads)
        assert 0 < len(page.items) <= size
        found, token = found + page.items, page.next
    names = [one.name for one in found]
    assert names == sorted(set(names)), "each once, wherever a page ends"
    every = [one for page in await pages(rig, "retriever.retrieval.urls", r.DownloadQuery, r.Downloads, retrieval=retrieval, size=1000)
             for one in page.items]  # fmt: skip
    assert len({one.name for one in every}) == BLOCKS
    whole = next(one for one in every if one.name == "facility-many_0.tar")
    async with httpx.AsyncClient(trust_env=False) as http:
        assert len((await http.get(whole.url)).content) == whole.size
    seen = await rig.ask("retriever.retrieval.get", r.RetrievalRef(retrieval), r.Retrieval)
    assert (seen.datablocks, seen.size) == (BLOCKS, BLOCKS * whole.size)


async def test_a_client_that_knows_no_pages_gets_the_first(rig: DataRig, retrieval: UUID) -> None:
    """As a version 1 asks."""
    page = await rig.ask("retriever.retrieval.urls", r.RetrievalRef(retrieval), r.Downloads)
    assert len(page.items) == 100
    assert page.next


async def test_lists_of_the_catalogue(rig: DataRig, retrieval: UUID) -> None:
    """Which the retriever reads too, when it begins."""
    blocks = [one for page in await pages(rig, "archiver.datablock.list", k.DatablockQuery, k.DatablockPage, pid=PID, size=999)
              for one in page.items]  # fmt: skip
    assert [one.archive_id.rpartition("_")[2] for one in blocks] == [f"{n}.tar" for n in range(BLOCKS)]
    files = [one for page in await pages(rig, "archiver.datablock.files", k.FileQuery, k.FilePage, pid=PID, size=999)
             for one in page.items]  # fmt: skip
    assert len({one.path for one in files}) == BLOCKS
    of_one = await rig.ask("archiver.datablock.files", k.FileQuery(pid=PID, datablock=blocks[7].id), k.FilePage)
    assert [one.path for one in of_one.items] == ["f/7"]
    located = await rig.ask("archiver.dataset.locate", k.DatasetRef(PID), k.Located)
    assert located.storages == ["lts"]
    assert len((await rig.explain(PID)).reasons) < 10


async def test_a_list_of_datasets(rig: DataRig) -> None:
    await rig.sql(
        "INSERT INTO archiver.datasets (id, pid, owner, owner_group, source_folder, dataset_name, contact_email, description) "
        "SELECT gen_random_uuid(), format('many/%s', n), 'eve', 'users', '/', '', '', repeat('ü', 5000) "
        "FROM generate_series(1, 1500) n"
    )
    found = await pages(rig, "archiver.dataset.list", k.DatasetList, k.DatasetPage, user="eve", size=1000)
    assert len({one.pid for page in found for one in page.items}) >= 1500
    assert len(found) > 2


async def test_addresses_to_upload_to_that_do_not_fit_are_refused_with_how_many_do(rig: DataRig) -> None:
    long = {"ü" * 120 + "/" + "ü" * 120 + f"/{n:03}": b"" for n in range(1000)}
    await rig.ask("archiver.dataset.create", k.DatasetCreate("facility/long"), k.Dataset)
    for start in range(0, 1000, 500):
        await rig.add("facility/long", dict(list(long.items())[start : start + 500]))
    with pytest.raises(TooLarge, match="ask for at most") as refused:
        await rig.ask("archiver.upload.sign", k.UploadSign("facility/long", list(long)), k.UploadUrls)
    fits = int(refused.value.message.rpartition(" ")[2])
    signed = await rig.ask("archiver.upload.sign", k.UploadSign("facility/long", list(long)[:fits]), k.UploadUrls)
    assert len(signed.urls) == fits


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["t/c", "t/B1", "t/a"]),
        ({"search": "b1"}, ["t/B1"]),
        ({"search": "FIRST"}, ["t/B1", "t/a"]),
        ({"search": "50%"}, ["t/c"]),
        ({"group": "m13"}, ["t/c", "t/B1"]),
        ({"group": "m13", "search": "first"}, ["t/B1"]),
        ({"status": "filesNotReadyYet"}, ["t/c", "t/B1", "t/a"]),
        ({"status": "started"}, []),
        ({"damaged": True}, ["t/a"]),
    ],
    ids=str,
)
async def test_datasets_are_searched_and_filtered(rig: DataRig, query: dict[str, Any], found: list[str]) -> None:
    made = [("t/a", "users", "First light", ""), ("t/B1", "m13", "", "the first one"), ("t/c", "m13", "50% of it", "")]
    for pid, group, name, text in made:
        asked = k.DatasetCreate(pid, group, dataset_name=name, description=text)
        await rig.ask("archiver.dataset.create", asked, k.Dataset, user="sam")
    await rig.sql("UPDATE archiver.datasets SET damaged = 1 WHERE pid = 't/a'")
    seen = [
        one.pid
        for page in await pages(rig, "archiver.dataset.list", k.DatasetList, k.DatasetPage, user="sam", size=2, **query)
        for one in page.items
    ]
    assert seen == found
