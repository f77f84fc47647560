"""Sessions: opened, looked at, changed, removed."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from shared.client import session_removal
from shared.client.events import Event, follow
from shared.client.http import Http
from shared.client.paging import items
from shared.client.paths import COMPUTE
from shared.contracts.compute import Options, Session, SessionCreate, SessionPage, Where

Id = UUID | str


def _ignore(_: str) -> None:
    return


class Sessions:
    """Every method that takes a session raises NotFoundError if there is none."""

    def __init__(self, http: Http) -> None:
        self._http = http

    async def create(
        self,
        function: str | None = None,
        *,
        partitions: Sequence[str] = (),
        options: Options = Options(),
        name: str = "",
        ttl: float | None = None,
        close_when_done: bool = False,
    ) -> Session:
        """Opens a session. `function` runs the tasks that do not name one; the rest is that of `SessionCreate`."""
        if function is not None:
            options = msgspec.structs.replace(options, function=function)
        asked = SessionCreate(list(partitions), options, name, ttl, close_when_done)
        return await self._http.ask("POST", f"{COMPUTE}/sessions", Session, body=asked)

    async def get(self, session: Id) -> Session:
        """The session, its tasks counted by where they stand."""
        return await self._http.ask("GET", f"{COMPUTE}/sessions/{session}", Session)

    def list(self, *, status: str = "", where: Where = [], sort: str = "") -> AsyncIterator[Session]:  # noqa: B006
        """Sessions, newest first or as `sort` says. `where`: those that fit (`shared/contracts/compute/filters.py`)."""
        query: dict[str, Any] = {"status": status, "where": filter_json(where), "sort": sort}
        return items(self._http, f"{COMPUTE}/sessions", SessionPage, **query)

    async def pause(self, session: Id) -> Session:
        """What runs finishes, nothing else begins."""
        return await self._change(session, "pause")

    async def resume(self, session: Id) -> Session:
        """A paused session goes on."""
        return await self._change(session, "resume")

    async def close(self, session: Id) -> Session:
        """It takes no more tasks; those that do not run yet are cancelled."""
        return await self._change(session, "close")

    async def cancel(self, session: Id) -> Session:
        """Its tasks end, those that run are stopped."""
        return await self._change(session, "cancel")

    async def stop_submission(self, session: Id, *, client: bool = False, worker: bool = False) -> Session:
        """It takes no more tasks from clients, from its workers, or from both; for good."""
        return await self._change(session, "stop-submission", {"client": client, "worker": worker})

    async def purge(self, session: Id, note: Callable[[str], None] = _ignore) -> Session:
        """Deletes the values of a closed or cancelled session, and returns when they are gone."""
        return msgspec.convert(await session_removal.purge(self._http, str(session), note), Session)

    async def delete(self, session: Id, note: Callable[[str], None] = _ignore) -> None:
        """Cancels what is left of a session, deletes all of it, and returns when it is gone."""
        await session_removal.delete(self._http, str(session), note)

    def watch(self, session: Id) -> AsyncIterator[Event]:
        """How the session stands, then what happens in it (docs/events.md), without end."""
        return follow(self._http, f"{COMPUTE}/sessions/{session}/watch")

    async def _change(self, session: Id, verb: str, body: Any = None) -> Session:
        return await self._http.ask("POST", f"{COMPUTE}/sessions/{session}/{verb}", Session, body=body)


def filter_json(where: Where) -> str:
    """A filter as the query's parameter `where`; empty for none."""
    return json.dumps(msgspec.to_builtins(where)) if where else ""
