"""Waiting for a server at start: it may come up later than we do; the log names it, and the wait ends after two minutes."""

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
"""Seconds between two lines of the log about the same server and reason, at most."""


class StartFailed(Exception):
    """A server did not come up in time; the message names it, its address, and the last error."""


def reason(error: BaseException) -> str:
    """The error of a connection, in words for people."""
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
    """Host, port and path of a URL, without user and password."""
    at = urlsplit(url)
    return at.netloc.rpartition("@")[2] + at.path


class Absence:
    """Logs that a server is away: at once, at once when the reason changes, and otherwise at growing intervals.

    `context`: further fields of the log line.
    """

    def __init__(self, server: str, url: str, **context: Any) -> None:
        self._where: dict[str, Any] = {"server": server, "address": address(url), **context}
        self._clock = asyncio.get_running_loop().time
        self.over()

    def over(self) -> None:
        """The server is there again: the next failure begins a new absence."""
        self._began: float | None = None
        self._why, self._logged, self._silence = "", 0.0, 1.0

    def note(self, why: str) -> float:
        """Takes in one more failed attempt. Returns for how many seconds the server has been away."""
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
    """Calls `connect` until it succeeds, for at most `patience` seconds (default PATIENCE), and returns its result.

    on     errors that mean that the server is away; others are raised at once
    why    words for such an error; they are in the log (`Absence`) and in StartFailed, which is raised in the end
    """
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
