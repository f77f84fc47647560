"""Values deleted: the results stay and say so, the objects go.

What a task needs that has not ended cannot be deleted: it would run for nothing, and fail with a missing object. What was to
be uploaded and is deleted instead will never come: whoever waits for it fails, as with an abort.
"""

from collections.abc import Sequence
from uuid import UUID

from services.scheduler import store
from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.results.orphaned_objects import Doomed
from services.scheduler.machine import RESULT
from shared.contracts import subjects
from shared.contracts.compute import ResultDelete, ResultList
from shared.contracts.endpoints.compute import RESULT_DELETE
from shared.contracts.errors import Conflict, NotFound
from shared.contracts.events import Frame
from shared.contracts.states import ResultStatus
from shared.objects.layout import result_prefix
from shared.service.access import check
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

Q = store.Q


class Deletions:
    def __init__(self, release: Release, doomed: Doomed) -> None:
        self._release, self._doomed = release, doomed

    def register(self, service: Service) -> None:
        service.on(RESULT_DELETE, self.delete)

    async def delete(self, unit: Unit, ctx: Context, request: ResultDelete) -> ResultList:
        """All or none. Those deleted before are passed over."""
        db = unit.connection
        check(ctx, await store.session(db, request.session, "hold_session"))
        # Who submits a task that needs one of them holds its row: its tasks are seen below, or it sees what we did.
        rows: dict[UUID, store.Row] = {row["id"]: row for row in await db.fetch(Q["take_results"], request.results)}
        for place, name in enumerate(request.results):
            _check(rows.get(name), name, request.session, f"results[{place}]")
        await self._check_needed(db, request, rows)
        gone = [row["id"] for row in await db.fetch(Q["delete_values"], list(rows), RESULT.sources("delete"))]
        if gone:
            unit.emit(subjects.event("task", "changed", request.session), Frame(request.session, deleted=gone))
            await self._let_go(unit, [rows[name] for name in gone])
        now = {row["id"]: row for row in await db.fetch(Q["results"], request.results)}
        return ResultList([store.result_of(now[name]) for name in request.results])

    async def _check_needed(self, db: store.Db, request: ResultDelete, rows: dict[UUID, store.Row]) -> None:
        complete = [name for name, row in rows.items() if row["status"] == ResultStatus.COMPLETED]
        if not complete:
            return
        for submission in await db.fetch(Q["unsettled_of_session"], request.session):
            if found := await db.fetchrow(Q["needed_by"], *store.span(submission["id"]), complete):
                raise Conflict(
                    f"task {found['task']}, which has not ended, needs result {found['result']}",
                    field=f"results[{request.results.index(found['result'])}]",
                )

    async def _let_go(self, unit: Unit, rows: Sequence[store.Row]) -> None:
        if keys := [row["object"] for row in rows if _ours(row)]:
            await self._doomed.doom(unit.connection, keys)
            unit.after.append(self._doomed.wake)
        if never := [row["id"] for row in rows if row["status"] == ResultStatus.CREATED]:
            await self._release.abort(unit, never, "it was deleted")


def _ours(row: store.Row) -> bool:
    """Whether its object goes with it. A worker may have named one that is not the result's own, such as its input's."""
    return bool(row["owned"]) and (row["object"] or "").startswith(result_prefix(row["session"], row["id"]))


def _check(row: store.Row | None, name: UUID, session: UUID, field: str) -> None:
    if row is None or row["session"] != session:
        raise NotFound(f"session {session} has no result {name}", field=field)
    if row["status"] == ResultStatus.CREATED and row["owner"] is not None:
        raise Conflict(f"result {name} is to be produced by task {row['owner']}", field=field)
