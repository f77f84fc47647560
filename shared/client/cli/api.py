"""The client as the commands use it: one call after the other."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from shared.client import Headrace
from shared.client.address import Address

T = TypeVar("T")


class Api:
    """`with Api() as api: api.get("/ops/v1/status")`. The connections live in an event loop that runs during calls only."""

    def __init__(self, address: Address | None = None) -> None:
        self.client = Headrace(address)
        self.address = self.client.http.address
        self._runner, self._open = asyncio.Runner(), True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is not KeyboardInterrupt:  # its calls are only cancelled: they may be anywhere
                self.run(self.client.close())
        finally:
            self._open = False
            self._runner.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        """What a coroutine of the client returns."""
        return self._runner.run(call)

    def each(self, things: AsyncIterator[T]) -> Iterator[T]:
        """What an iterator of the client yields, one by one."""
        end = object()

        async def following() -> Any:
            return await anext(things, end)

        try:
            while (thing := self.run(following())) is not end:
                yield thing
        finally:
            if self._open:  # otherwise closed with the loop
                self.run(_closed(things))

    def get(self, path: str, **query: Any) -> Any:
        """The reply as plain JSON values."""
        return self.run(self.client.http.get(path, **query))

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """The reply as plain JSON values."""
        return self.run(self.client.http.post(path, body, **options))

    def patch(self, path: str, body: Any) -> Any:
        """The reply to a PATCH as plain JSON values."""
        return self.run(self.client.http.send("PATCH", path, body=body)).json()

    def delete(self, path: str) -> Any:
        """The reply to a DELETE as plain JSON values."""
        return self.run(self.client.http.send("DELETE", path)).json()


async def _closed(things: Any) -> None:
    if (close := getattr(things, "aclose", None)) is not None:
        await close()
