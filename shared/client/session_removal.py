"""Purging and deleting a session: asked for, then looked at until it is done."""

from collections.abc import Callable
from typing import Any

from shared.client.errors import FailedError, NotFoundError
from shared.client.http import Http
from shared.client.paths import COMPUTE
from shared.client.polling import Pause

Note = Callable[[str], None]
"""Called with a phrase that says what is going on."""


async def purge(http: Http, session: str, note: Note) -> Any:
    """The session, purged. What was begun goes on if the connection is lost."""
    note("its values are deleted")
    begun = await http.post(f"{COMPUTE}/sessions/{session}/purge")
    return await _until("purged", begun, http, session, note)


async def delete(http: Http, session: str, note: Note) -> Any:
    """The session as it was last seen, deleted."""
    note("it is cancelled, its values and rows are deleted")
    try:
        begun = (await http.send("DELETE", f"{COMPUTE}/sessions/{session}")).json()
    except NotFoundError as error:
        if not error.repeated:
            raise
        begun = {"id": session, "status": "deleted"}  # the reply to an earlier try was lost
    return await _until("deleted", begun, http, session, note)


async def _until(status: str, session: Any, http: Http, name: str, note: Note) -> Any:
    """The service has begun it, and answers after 30 s at the latest."""
    pause = Pause()
    while session["status"] != status:
        if not session.get("operation"):
            raise FailedError(f"session {name} is {session['status']}, and nothing goes on that would make it {status}")
        note(f"{session['status']}, going on")
        await pause()
        try:
            session = await http.get(f"{COMPUTE}/sessions/{name}")
        except NotFoundError:
            if status != "deleted":
                raise
            session = session | {"status": status, "operation": ""}
    return session
