"""Objects that are there already become the values of results: all those of a request, or none.

They stay their owner's: no delete and no purge of ours ever removes them (`owned`). What may be imported lies under prefixes
that the operator lists; what lies under `results/` belongs to sessions and is never among it.
"""

import asyncio
from uuid import UUID

import msgspec

from services.scheduler.compute.completion.release import Release
from services.scheduler.compute.results import store
from services.scheduler.compute.results.store import result_of
from services.scheduler.compute.sessions import store as sessions
from services.scheduler.compute.task_events import emit_frame
from services.scheduler.machine import RESULT
from shared.contracts.compute import ResultImport, ResultList
from shared.contracts.endpoints.compute import RESULT_IMPORT
from shared.contracts.errors import Conflict, Invalid, NotFound
from shared.contracts.states import ResultStatus
from shared.db.sql import Db, Row
from shared.objects.layout import RESULTS, check_key
from shared.objects.port import Store, Stored
from shared.service.access import check_owner
from shared.service.context import Context
from shared.service.service import Service
from shared.service.unit import Unit

AT_ONCE = 32
"""Objects asked for at once, by all imports of this process together."""
SECONDS = 60
"""That an import may take: a thousand objects, and a store that is away for half a minute."""


class Found(msgspec.Struct, frozen=True):
    """What was asked for, and what object storage says of each object, in the same order."""

    asked: ResultImport
    objects: list[Stored]


def prefixes(text: str) -> tuple[str, ...]:
    """The setting as prefixes that end with a slash. One that could never be allowed ends the process."""
    found = tuple(f"{one.strip().strip('/')}/" for one in text.split(",") if one.strip())
    for one in found:
        try:
            check_key(one[:-1])
        except Invalid as error:
            raise SystemExit(f"HEADRACE_IMPORT_PREFIXES: {one!r}: {error.message}") from None
        if one.startswith(RESULTS):
            raise SystemExit(f"HEADRACE_IMPORT_PREFIXES: what lies under {RESULTS} belongs to sessions")
    return found


class Imports:
    """Answers `result.import`. `allowed`: the prefixes under which objects may be imported."""

    def __init__(self, db: Db, release: Release, objects: Store, allowed: tuple[str, ...]) -> None:
        self._db, self._release, self._objects, self._allowed = db, release, objects, allowed
        self._gate = asyncio.Semaphore(AT_ONCE)

    def register(self, service: Service) -> None:
        """Registers the handlers."""
        service.on(RESULT_IMPORT, self.import_, before=self.look, seconds=SECONDS)

    async def look(self, ctx: Context, request: ResultImport) -> Found:
        """Before anything is held or changed: what is refused anyway, then the sizes."""
        check_owner(ctx, await sessions.get(self._db, request.session), request.session)
        seen: set[UUID] = set()
        for place, one in enumerate(request.objects):
            if one.result in seen:
                raise Invalid(f"result {one.result} stands twice", field=f"objects[{place}].result")
            seen.add(one.result)
            self._check_key(one.object, f"objects[{place}].object")
        _check_results(request, await store.find(self._db, seen))
        found = await asyncio.gather(*(self._head(one.object) for one in request.objects))
        objects = []
        for place, stored in enumerate(found):
            if stored is None:
                key = request.objects[place].object
                raise NotFound(f"there is no object {key!r}", field=f"objects[{place}].object")
            objects.append(stored)
        return Found(request, objects)

    async def import_(self, unit: Unit, ctx: Context, found: Found) -> ResultList:
        """The guard CREATED → COMPLETED decides; the same import again is harmless."""
        db, request = unit.connection, found.asked
        session = await sessions.hold(db, request.session)
        check_owner(ctx, session, request.session)
        sessions.check_open(session, "its results take no values")
        names = [one.result for one in request.objects]
        _check_results(request, await store.lock(db, names))
        done = await store.complete_imported(db, names, found.objects)
        if done:
            emit_frame(unit, request.session, results=done)
            await self._release.results_completed(unit, done)
        rows = await store.find(db, names)
        return ResultList([result_of(rows[name]) for name in names])

    def _check_key(self, key: str, field: str) -> None:
        try:
            check_key(key)
        except Invalid as error:
            raise Invalid(error.message, field=field) from None
        if not key.startswith(self._allowed):  # an empty tuple: nothing is
            allowed = f"those under {', '.join(self._allowed)} may" if self._allowed else "the operator allows none"
            raise Invalid(f"{key!r} may not be imported; {allowed}", field=field)

    async def _head(self, key: str) -> Stored | None:
        async with self._gate:
            return await self._objects.head(key)


def _check_results(request: ResultImport, known: dict[UUID, Row]) -> None:
    for place, one in enumerate(request.objects):
        row, field = known.get(one.result), f"objects[{place}].result"
        if row is None or row["session"] != request.session:
            raise NotFound(f"session {request.session} has no result {one.result}", field=field)
        if row["owner"] is not None:
            raise Conflict(f"result {one.result} is produced by task {row['owner']}", field=field)
        same = row["status"] == ResultStatus.COMPLETED and row["object"] == one.object and not row["owned"]
        if row["status"] != ResultStatus.CREATED and not same:
            refusal = RESULT.refusal("complete", ResultStatus(row["status"]), one.result)
            raise Conflict(refusal.message, field=field)
