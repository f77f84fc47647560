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
    """Connects, again and again for `patience` seconds (`PATIENCE`), then StartFailed. `context`: what else the log should say.

    Says at once what is wrong, at once when that changes, and otherwise at growing distances.
    """
    patience = PATIENCE if patience is None else patience
    clock = asyncio.get_running_loop().time
    began, tries = clock(), 0
    spoken, silence, last = began, 1.0, ""
    while True:
        try:
            return await connect()
        except on as error:
            now, what = clock(), why(error)
        if now - began >= patience:
            raise StartFailed(f"{server} at {address(url)}: {what}; gave up after {now - began:.0f} s")
        if what != last or now - spoken >= silence:
            silence = 1.0 if what != last else min(2 * silence, _LONGEST_SILENCE)
            log.warning(
                "server.awaited", server=server, address=address(url), why=what, seconds=round(now - began), **context
            )
            spoken, last = now, what
        await asyncio.sleep(min(_BACKOFF.delay(tries), max(0.0, began + patience - now)))
        tries += 1
