"""What the retriever asks of the others, on the bus in memory; who answers is scripted."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from services.retriever.retrieval.examine import Found
from services.retriever.retrieval.peers import Peers
from shared.bus.client import Bus
from shared.chain.errors import UserError
from shared.contracts import catalogue as k
from shared.contracts import compute as c
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints import catalogue as ke
from shared.contracts.endpoints import compute as ce
from shared.contracts.errors import Conflict, Invalid, NotFound, Unavailable
from shared.contracts.ids import uuid7
from shared.contracts.work import Output
from shared.service.context import Context
from shared.service.service import Service
from shared.testing.bus import MemoryBroker
from tests.support.stand_in import stand_in

RESULT, SESSION, JOB = uuid7(), uuid7(), uuid7()
BLOCK = uuid7()


class Others:
    """Archiver and scheduler: `says` has an answer, or an error, for each question; `asked` what came, and for whom."""

    def __init__(self) -> None:
        self.says: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []

    def takes(self, service: Service, endpoint: Endpoint[Any, Any]) -> None:
        noun, verb = endpoint.noun, endpoint.verb

        async def answer(ctx: Context, message: Any) -> Any:
            self.asked.append((f"{noun}.{verb}", ctx.user, message))
            said = self.says[f"{noun}.{verb}"].pop(0)
            if isinstance(said, Exception):
                raise said
            return said

        service.on(stand_in(endpoint), answer)


@pytest.fixture
def others() -> Others:
    return Others()


@pytest.fixture
async def peers(others: Others) -> AsyncIterator[Peers]:
    broker = MemoryBroker()
    there: list[Bus] = []
    for name, endpoints in (
        ("archiver", (ke.JOB_UPDATE, ke.DATASET_LIFECYCLE, ke.DATABLOCK_LIST, ke.DATABLOCK_FILES, ke.DATABLOCK_REPORT)),
        ("scheduler", (ce.RESULT_GET, ce.RESULT_COMPLETE, ce.RESULT_ABORT)),
    ):
        there.append(await broker.connect(name))
        service = Service(there[-1], None, name, "1.0.0", "")
        for endpoint in endpoints:
            others.takes(service, endpoint)
        await service.start()
    there.append(await broker.connect("retriever"))
    yield Peers(there[-1])
    for bus in there:
        await bus.close()


def result(status: str) -> c.Result:
    return c.Result(RESULT, SESSION, "", status, None, "", 0, "", None)


def block(number: int) -> k.Datablock:
    return k.Datablock(UUID(int=number), "p/1", f"datasets/{number}.tar", 1, 10240, "0" * 64, "lts", 1)


async def test_all_pages_are_read_in_the_owner_s_name(peers: Peers, others: Others) -> None:
    others.says["datablock.list"] = [k.DatablockPage([block(0), block(1)], "1"), k.DatablockPage([block(2)])]
    assert await peers.datablocks("ann", "p/1") == [block(0), block(1), block(2)]
    assert [(user, asked.token) for _, user, asked in others.asked] == [("ann", ""), ("ann", "1")]


async def test_no_more_pages_of_files_than_are_needed(peers: Peers, others: Others) -> None:
    found = [k.StoredFile(path, 1, "0" * 64, BLOCK, 512) for path in ("a", "b", "c")]
    others.says["datablock.files"] = [k.FilePage(found[:2], "b"), k.FilePage(found[2:], "c")]
    assert await peers.files("ann", "p/1", {"b", "c"}) == found[1:]
    assert len(others.asked) == 2


@pytest.mark.parametrize("error", [Conflict("it has ended"), NotFound("no such thing")])
async def test_a_catalogue_that_has_gone_on_is_left_alone(peers: Peers, others: Others, error: Exception) -> None:
    others.says |= {"job.update": [error], "dataset.lifecycle": [error]}
    await peers.job("ann", JOB, "inProgress", "x" * 3000)
    await peers.lifecycle("ann", "p/1", "started")
    assert len(others.asked[0][2].message) == 2000
    said = others.asked[1][2]
    assert (said.archivable, said.retrievable, said.retrieve_status_message) == (False, True, "started")


async def test_what_is_found_is_reported_in_the_owner_s_name(peers: Peers, others: Others) -> None:
    others.says["datablock.report"] = [block(1), block(1)]
    await peers.report("ann", "p/1", BLOCK, 2, Found("size", 7, "f" * 64))
    await peers.report("ann", "p/1", BLOCK, 2, None)
    assert [(user, asked) for _, user, asked in others.asked] == [
        ("ann", k.DatablockReport("p/1", BLOCK, 2, "size", 7, "f" * 64)),
        ("ann", k.DatablockReport("p/1", BLOCK, 2)),
    ]


async def test_without_a_job_nobody_is_asked(peers: Peers, others: Others) -> None:
    await peers.job("ann", None, "inProgress")
    assert others.asked == []


@pytest.mark.parametrize("error", [NotFound("there is no result"), Invalid("not of this session")])
async def test_what_will_not_get_better_is_the_user_s_error(peers: Peers, others: Others, error: Exception) -> None:
    """Tried again for ever, it would never end, and nobody would be told."""
    others.says |= {"result.get": [error], "result.complete": [error], "datablock.list": [error]}
    for asking in (
        peers.is_complete("ann", RESULT),
        peers.complete("ann", Output(RESULT, 1, data=b"x")),
        peers.datablocks("ann", "p/1"),
    ):
        with pytest.raises(UserError, match=str(error)):
            await asking


async def test_what_may_get_better_is_tried_again(peers: Peers, others: Others) -> None:
    others.says |= {"result.get": [Unavailable("away")], "datablock.files": [Unavailable("away")]}
    for asking in (peers.is_complete("ann", RESULT), peers.files("ann", "p/1", {"a"})):
        with pytest.raises(Unavailable):
            await asking


async def test_a_result_of_another_session_gets_no_bytes(peers: Peers, others: Others) -> None:
    """They would lie under the session that was named, and go with it."""
    others.says["result.get"] = [result("created")] * 2
    assert await peers.is_complete("ann", RESULT, SESSION) is False
    with pytest.raises(UserError, match="is not of session"):
        await peers.is_complete("ann", RESULT, uuid7())


async def test_who_comes_second_does_not_count(peers: Peers, others: Others) -> None:
    others.says |= {
        "result.complete": [Conflict("COMPLETED")] * 2,
        "result.get": [result("completed"), result("aborted")],
    }
    output = Output(RESULT, 70_000, object=f"results/{SESSION}/{RESULT}/x")
    assert await peers.complete("ann", output) is False
    with pytest.raises(UserError, match="is aborted"):
        await peers.complete("ann", output)


async def test_the_first_counts(peers: Peers, others: Others) -> None:
    others.says["result.complete"] = [result("completed")]
    assert await peers.complete("ann", Output(RESULT, 1, data=b"x")) is True


async def test_one_result_that_nobody_knows_does_not_keep_the_others_waiting(peers: Peers, others: Others) -> None:
    results = [uuid7() for _ in range(1004)]
    done, unknown = c.ResultList([]), NotFound("there is no such result")
    others.says["result.abort"] = [done, unknown, unknown, done, unknown, done]
    await peers.abort("ann", SESSION, results, "why")
    assert [len(asked.results) for _, _, asked in others.asked] == [1000, 4, 2, 1, 1, 2]
    assert others.says["result.abort"] == []
