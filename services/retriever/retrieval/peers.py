"""What the retriever asks of other services for the owner of a retrieval: the catalogue at the archiver, results at the scheduler.
A refusal that would be the same again is a UserError: the chain ends with it."""

from collections.abc import Sequence
from typing import Final, TypeVar
from uuid import UUID

from services.retriever.retrieval.examine import Found
from shared.bus.client import Bus
from shared.chain.errors import UserError
from shared.contracts.catalogue import (
    Datablock,
    DatablockQuery,
    DatablockReport,
    FileQuery,
    JobStatus,
    JobUpdate,
    LifecycleUpdate,
    RetrieveStatus,
    StoredFile,
)
from shared.contracts.compute import ResultAbort, ResultComplete, ResultRef
from shared.contracts.endpoint import Endpoint
from shared.contracts.endpoints.catalogue import (
    DATABLOCK_FILES,
    DATABLOCK_LIST,
    DATABLOCK_REPORT,
    DATASET_LIFECYCLE,
    JOB_UPDATE,
)
from shared.contracts.endpoints.compute import RESULT_ABORT, RESULT_COMPLETE, RESULT_GET
from shared.contracts.errors import Conflict, HeadraceError, NotFound
from shared.contracts.states import ResultStatus, name_of
from shared.contracts.work import Output
from shared.service.ask import ask
from shared.service.context import speaking_for

Request = TypeVar("Request")
Reply = TypeVar("Reply")
MOST_ABORTED: Final = 1000
PASSED: Final = (Conflict, NotFound)
"""Errors by which the catalogue says that a job or dataset was changed by somebody else: it stays as it is."""
COMPLETED: Final = name_of(ResultStatus.COMPLETED)


class Peers:
    """Asks archiver and scheduler for the owner of a retrieval."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def _ask(
        self, owner: str, endpoint: Endpoint[Request, Reply], message: Request, *expected: type[HeadraceError]
    ) -> Reply:
        """Asks, and raises a refusal as UserError. `expected`: errors that are raised as they are."""
        try:
            return await ask(self._bus, endpoint, message, speaking_for(owner), timeout=10)
        except HeadraceError as error:
            if error.retryable or isinstance(error, expected):
                raise
            what = f"{endpoint.service} refuses {endpoint.noun} {endpoint.verb}"
            raise UserError(f"{what}: {error.message}") from None

    # -- the catalogue

    async def job(self, owner: str, job: UUID | None, status: JobStatus, message: str = "") -> None:
        """Updates the status of the catalogue's job, if there is one. A job that has ended meanwhile stays as it is."""
        if job is None:
            return
        try:
            await self._ask(owner, JOB_UPDATE, JobUpdate(job, status, message[:2000]), *PASSED)
        except PASSED:
            return

    async def lifecycle(self, owner: str, pid: str, status: RetrieveStatus) -> None:
        """Updates the dataset's retrieve status. `archivable` and `retrievable` are sent too: earlier versions of SciCat reset what is left out."""
        asked = LifecycleUpdate(pid, archivable=False, retrievable=True, retrieve_status_message=status)
        try:
            await self._ask(owner, DATASET_LIFECYCLE, asked, *PASSED)
        except PASSED:
            return

    async def datablocks(self, owner: str, pid: str) -> list[Datablock]:
        """All datablocks of a dataset."""
        found: list[Datablock] = []
        token = ""
        while True:
            asked = DatablockQuery(pid=pid, size=1000, token=token)
            page = await self._ask(owner, DATABLOCK_LIST, asked)
            found += page.items
            if not (token := page.next):
                return found

    async def report(self, owner: str, pid: str, datablock: UUID, copy: int, found: Found | None) -> Datablock:
        """How a datablock was found on long-term storage (None: whole); as the catalogue has it then."""
        asked = DatablockReport(pid, datablock, copy)
        if found is not None:
            asked = DatablockReport(pid, datablock, copy, found.damage, found.size, found.chk)
        return await self._ask(owner, DATABLOCK_REPORT, asked)

    async def files(self, owner: str, pid: str, paths: set[str]) -> list[StoredFile]:
        """Where these files lie in the datablocks; files that do not exist are left out."""
        found: list[StoredFile] = []
        token = ""
        while True:
            page = await self._ask(owner, DATABLOCK_FILES, FileQuery(pid=pid, token=token))
            found += [file for file in page.items if file.path in paths]
            if not (token := page.next) or len(found) == len(paths):
                return found

    # -- results

    async def is_complete(self, owner: str, result: UUID, session: UUID | None = None) -> bool:
        """UserError if the result can have no value any more, or is not of `session`, which would keep its bytes."""
        found = await self._ask(owner, RESULT_GET, ResultRef(result))
        if session not in (None, found.session):
            raise UserError(f"result {result} is not of session {session}")
        if found.status not in (name_of(ResultStatus.CREATED), COMPLETED):
            raise UserError(f"result {result} is {found.status}")
        return found.status == COMPLETED

    async def complete(self, owner: str, output: Output) -> bool:
        """Gives a result its value. False if it has one already: then our object is not used."""
        asked = ResultComplete(output.id, output.data, output.object, output.size, output.sha256)
        try:
            await self._ask(owner, RESULT_COMPLETE, asked, Conflict)
        except Conflict as error:
            if await self.is_complete(owner, output.id):
                return False
            raise UserError(error.message) from None
        return True

    async def abort(self, owner: str, session: UUID, results: Sequence[UUID], reason: str) -> None:
        """Aborts results. Those that the scheduler does not know are passed over."""
        for start in range(0, len(results), MOST_ABORTED):
            await self._abort(owner, session, results[start : start + MOST_ABORTED], reason[:2000])

    async def _abort(self, owner: str, session: UUID, results: Sequence[UUID], reason: str) -> None:
        try:
            asked = ResultAbort(session, list(results), reason)
            await self._ask(owner, RESULT_ABORT, asked)
        except UserError:  # of all, because of one: halves find it
            half = len(results) // 2
            if half:
                await self._abort(owner, session, results[:half], reason)
                await self._abort(owner, session, results[half:], reason)
