"""Waiting for a server at start: it may come up later than we do, but who waits says for what, and not for ever."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from shared.runtime.log import log
from shared.runtime.retry import Backoff

T = TypeVar("T")

PATIENCE: Final = 120.0
"""Seconds that a process waits for a server before it ends with status 1."""
_BACKOFF: Final = Backoff(first=0.1, ceiling=2)
_LONGEST_SILENCE: Final = 30.0


class StartFailed(Exception):
    """A server did not come in time; the message says which, where, and what was wrong at last."""


def reason(error: BaseException) -> str:
    """What is wrong with a connection, for people."""
    match error:
        case socket.gaierror():
            return "there is no such host"
        case ConnectionRefusedError():
            return "nobody listens there (connection refused)"
        case TimeoutError():
            return "no answer"
        case _:
            return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def address(url: str) -> str:
    """Where a URL leads, without who asks and the password."""
    at = urlsplit(url)
    return at.netloc.rpartition("@")[2] + at.path


class Absence:
    """Tells in the log that a server is not there: at once, at once when the reason changes, otherwise at growing distances.

    `context`: what else the log should say.
    """

    def __init__(self, server: str, url: str, **context: Any) -> None:
        self._where: dict[str, Any] = {"server": server, "address": address(url), **context}
        self._clock = asyncio.get_running_loop().time
        self.over()

    def over(self) -> None:
        """It is there again."""
        self._began: float | None = None
        self._why, self._logged, self._silence = "", 0.0, 1.0

    def note(self, why: str) -> float:
        """One more attempt has failed. Returns for how many seconds it has been away."""
        now = self._clock()
        if self._began is None:
            self._began = now
        away, changed = now - self._began, why != self._why
        if changed or now - self._logged >= self._silence:
            self._silence = 1.0 if changed else min(2 * self._silence, _LONGEST_SILENCE)
            self._why, self._logged = why, now
            log.warning("server.awaited", why=why, seconds=round(away), **self._where)
        return away


async def connect_patiently(
    server: str,
    url: str,
    connect: Callable[[], Awaitable[T]],
    *,
    on: tuple[type[BaseException], ...],
    why: Callable[[BaseException], str] = reason,
    patience: float | None = None,
    **context: Any,
) -> T:
    """Connects, again and again for `patience` seconds (`PATIENCE`), then StartFailed. The log says why (`Absence`)."""
    patience = PATIENCE if patience is None else patience
    absence, tries = Absence(server, url, **context), 0
    while True:
        try:
            return await connect()
        except on as error:
            what = why(error)
        away = absence.note(what)
        if away >= patience:
            raise StartFailed(f"{server} at {address(url)}: {what}; gave up after {away:.0f} s")
        await asyncio.sleep(min(_BACKOFF.delay(tries), patience - away))
        tries += 1
