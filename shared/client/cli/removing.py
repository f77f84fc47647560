"""Purging and deleting a session: handed in, then looked at until it is done."""

from typing import Any

from shared.client.cli.api import ROOT, Api
from shared.client.cli.bars import Tell
from shared.client.cli.steady import Pause, Steady
from shared.client.cli.trouble import FailedError, RefusedError


def purged(api: Api, session: str, tell: Tell) -> Any:
    """The session, purged. What was begun goes on if the connection is lost."""
    tell("its values are deleted")
    steady = Steady(api)
    told = steady.post(f"{ROOT}/sessions/{session}/purge", None)
    return _until("purged", told, steady, session, tell)


def deleted(api: Api, session: str, tell: Tell) -> Any:
    """The session as it was last seen, deleted."""
    tell("it is cancelled, its values and rows are deleted")
    steady, asked = Steady(api), False

    def ask() -> Any:
        nonlocal asked
        try:
            return api.delete(f"{ROOT}/sessions/{session}")
        except RefusedError as error:
            if error.status == 404 and asked:  # the answer to the first time was lost
                return {"id": session, "status": "deleted"}
            raise
        finally:
            asked = True

    return _until("deleted", steady.ask(ask), steady, session, tell)


def _until(wanted: str, told: Any, steady: Steady, session: str, tell: Tell) -> Any:
    """The service has begun it, and answers after 30 s at the latest."""
    pause = Pause()
    while told["status"] != wanted:
        if not told.get("operation"):
            raise FailedError(f"session {session} is {told['status']}, and nothing goes on that would make it {wanted}")
        tell(f"{told['status']}, going on")
        pause()
        try:
            told = steady.get(f"{ROOT}/sessions/{session}")
        except RefusedError as error:
            if error.status != 404 or wanted != "deleted":
                raise
            told = told | {"status": wanted, "operation": ""}
    return told
