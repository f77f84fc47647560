"""Lists of inputs that are kept as the values of results: for tasks whose inputs have no room in a line.

They are read before the transaction that takes the tasks, so that none waits for object storage. What is wrong with a list is
kept in its place and raised where a task names it: a repeat of what was taken before needs no list any more.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from services.scheduler.compute.submissions.plan import Lists
from services.scheduler.machine import MACHINES
from shared.contracts.compute import TaskSpec
from shared.contracts.errors import Conflict, HeadraceError, Internal, Invalid, NotFound, TooLarge
from shared.contracts.states import ResultStatus
from shared.contracts.work import Spawn
from shared.db.sql import Db, Row, load
from shared.objects.port import Objects
from shared.service.decode import MALFORMED, invalid

Q = load(__file__, "input_lists.sql", MACHINES)
LIST_BYTES = 8 * 1024 * 1024
"""Bytes of the lists that the tasks of one message name, together."""

_decode = msgspec.json.Decoder(list[str]).decode


class InputLists:
    """Reads the lists that tasks name."""

    def __init__(self, db: Db, objects: Objects) -> None:
        self._db, self._objects = db, objects

    async def of_session(self, session: UUID, specs: Iterable[TaskSpec]) -> Lists:
        """For tasks of a user: any complete result of their session."""
        named = _named(specs)
        if not named:
            return {}
        return await self._read(named, await Q.of_session.fetch(self._db, results=named, session=session))

    async def of_parent(self, request: Spawn) -> Lists:
        """For subtasks: what the parent has created, in this part or an earlier one, or has as an input."""
        named = _named(request.tasks)
        if not named:
            return {}
        created = [
            {
                "id": new.id,
                "status": ResultStatus.CREATED if new.data is None and new.object is None else ResultStatus.COMPLETED,
                "size": new.size if new.data is None else len(new.data),
                "data": new.data,
                "object": new.object,
            }
            for new in request.results
            if new.id in named
        ]
        rows = await Q.of_parent.fetch(self._db, submission=request.submission, task=request.task, results=named)
        return await self._read(named, [*rows, *created])

    async def _read(self, named: Sequence[UUID], rows: Sequence[Row]) -> Lists:
        known, room = {row["id"]: row for row in rows}, LIST_BYTES
        found: dict[UUID, list[str] | HeadraceError] = {}
        for result in named:
            row = known.get(result)
            room -= row["size"] if row is not None else 0
            try:
                found[result] = await self._list(result, row, room)
            except HeadraceError as error:
                if error.retryable and not isinstance(error, Internal):
                    raise
                found[result] = error
        return found

    async def _list(self, result: UUID, row: Row | None, room: int) -> list[str]:
        if row is None:
            raise NotFound(f"there is no result {result} here that a list of inputs could be read from")
        if row["status"] != ResultStatus.COMPLETED:
            state = ResultStatus(row["status"]).name
            raise Conflict(f"result {result} is {state}: a list of inputs has to be there when the task is submitted")
        if room < 0:
            raise TooLarge(f"lists of inputs have at most {LIST_BYTES} bytes, all of one message together")
        value = row["data"]
        if row["object"] is not None:
            value = await self._objects.read(row["object"], limit=row["size"])
        try:
            return _decode(value or b"")
        except MALFORMED as error:
            wrong = invalid(error)
            place = f" (at {wrong.field})" if wrong.field else ""
            raise Invalid(f"the value of result {result} is not a JSON list of texts: {wrong.message}{place}") from None


def _named(specs: Iterable[TaskSpec]) -> list[UUID]:
    """Each once, in their order."""
    return list(dict.fromkeys(spec.inputs_from for spec in specs if spec.inputs_from is not None))
