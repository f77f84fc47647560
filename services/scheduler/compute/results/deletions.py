"""Values deleted: the results stay and say so, the objects go.

What a task needs that has not ended cannot be deleted: it would run for nothing, and fail with a missing object. What was to
be uploaded and is deleted instead will never come: whoever waits for it fails, as with an abort.
"""

from collections.abc import Sequence
from uuid import UUID

from services.scheduler.compute.completion.failures import Failures
from services.scheduler.compute.results import store
from services.scheduler.compute.results.orphaned_objects import OrphanedObjects
from services.scheduler.compute.results.store import result_of
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.submissions import ending
from services.scheduler.compute.task_events import emit_frame
from shared.contracts.compute import ResultDelete, ResultList
from shared.contracts.endpoints.compute import RESULT_DELETE
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.states import ResultStatus
from shared.db.sql import Db, Row
from shared.objects.layout import result_prefix
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit


class Deletions:
    """Answers `result.delete`."""

    def __init__(self, failures: Failures, objects: OrphanedObjects) -> None:
        self._failures, self._objects = failures, objects

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(RESULT_DELETE, self.delete)

    async def delete(self, unit: Unit, ctx: Context, request: ResultDelete) -> ResultList:
        """All or none. Those deleted before are passed over."""
        db = unit.connection
        check_owner(ctx, await sessions.hold(db, request.session), request.session)
        # Who submits a task that needs one of them holds its row: its tasks are seen below, or it sees what we did.
        rows = await store.lock(db, request.results)
        for place, name in enumerate(request.results):
            _check(rows.get(name), name, request.session, f"results[{place}]")
        await self._check_needed(db, request, rows)
        deleted = await store.delete(db, rows)
        if deleted:
            emit_frame(unit, request.session, deleted=deleted)
            await self._follow(unit, [rows[name] for name in deleted])
        now = await store.find(db, request.results)
        return ResultList([result_of(now[name]) for name in request.results])

    async def _check_needed(self, db: Db, request: ResultDelete, rows: dict[UUID, Row]) -> None:
        complete = [name for name, row in rows.items() if row["status"] == ResultStatus.COMPLETED]
        if not complete:
            return
        for submission in await ending.open_of_session(db, request.session):
            if found := await store.needed_by(db, submission["id"], complete):
                raise Conflict(
                    f"task {found['task']}, which has not ended, needs result {found['result']}",
                    field=f"results[{request.results.index(found['result'])}]",
                )

    async def _follow(self, unit: Unit, rows: Sequence[Row]) -> None:
        """Objects that are theirs go; who waits for those that had no value fails. `rows`: as they were before."""
        if keys := [row["object"] for row in rows if _is_ours(row)]:
            await self._objects.add(unit.connection, keys)
            unit.after.append(self._objects.wake)
        if never := [row["id"] for row in rows if row["status"] == ResultStatus.CREATED]:
            await self._failures.results_aborted(unit, never, "it was deleted")


def _is_ours(row: Row) -> bool:
    """Whether its object goes with it. A worker may have named one that is not the result's own, such as its input's."""
    return bool(row["owned"]) and (row["object"] or "").startswith(result_prefix(row["session"], row["id"]))


def _check(row: Row | None, name: UUID, session: UUID, field: str) -> None:
    if row is None or row["session"] != session:
        raise NotFound(f"session {session} has no result {name}", field=field)
    if row["status"] == ResultStatus.CREATED and row["owner"] is not None:
        raise Conflict(f"result {name} is to be produced by task {row['owner']}", field=field)
