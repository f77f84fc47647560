"""The HTTP edge for a program that is to get through whatever happens to the services meanwhile.

Everything is asked again until somebody answers; each change carries an idempotency key, so that it happens once.
"""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from shared.runtime.retry import Backoff

PATIENCE = 300.0
"""Seconds for which nobody needs to answer."""
_AWAY = frozenset({429, 500, 502, 503, 504, 507})
_BACKOFF = Backoff(first=0.1, ceiling=1)


class JobError(Exception):
    """The job cannot be done; the message says why."""


class Client:
    """`say`: tells people that something is away, and that it is back."""

    def __init__(self, url: str, token: str, say: Callable[[str], None]) -> None:
        self._say = say
        self._edge = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=40, trust_env=False
        )
        self._plain = httpx.AsyncClient(timeout=60, trust_env=False)  # addresses of object storage need no token

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._edge.aclose()
        await self._plain.aclose()

    async def get(self, path: str, **query: Any) -> Any:
        return (await self._ask(self._edge, "GET", path, params=query)).json()

    async def download(self, path: str) -> bytes:
        return (await self._ask(self._edge, "GET", path)).content

    async def post(self, path: str, body: Any = None, *, lines: str = "") -> Any:
        """A change, once. `lines`: newline-delimited JSON instead of a `body`."""
        headers = {"Idempotency-Key": str(uuid4())}
        if lines:
            headers["Content-Type"] = "application/x-ndjson"
            return (await self._ask(self._edge, "POST", path, content=lines, headers=headers)).json()
        return (await self._ask(self._edge, "POST", path, json=body or {}, headers=headers)).json()

    async def put(self, url: str, data: bytes) -> None:
        """To an address of object storage."""
        await self._ask(self._plain, "PUT", url, content=data)

    async def _ask(self, http: httpx.AsyncClient, method: str, path: str, **options: Any) -> httpx.Response:
        until, tries, told = time.monotonic() + PATIENCE, 0, False
        while True:
            try:
                answer = await http.request(method, path, **options)
            except httpx.TransportError as error:
                problem = type(error).__name__
            else:
                if answer.status_code not in _AWAY:
                    if told:
                        self._say("back")
                    return _checked(answer)
                problem = _detail(answer)
            if time.monotonic() >= until:
                raise JobError(f"no answer for {PATIENCE:g} s: {problem}")
            if tries == 3:
                told = True
                self._say(f"waiting: {problem}")
            await asyncio.sleep(_BACKOFF.delay(tries))
            tries += 1


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise JobError(_detail(answer))
    return answer


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
