"""Asyncio tasks that the code of a coroutine function makes (`create_task`, `gather`): whatever they raise, the loop goes on."""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator, Iterator
from typing import Any

from shared.worker import streams
from shared.worker.describe import describe


class _Kept(Coroutine[Any, Any, Any]):
    """A coroutine for which asyncio does not end its loop, as it would for SystemExit and KeyboardInterrupt."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def send(self, value: Any) -> Any:
        try:
            return self._inner.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(describe(error)) from error

    def throw(self, *error: Any) -> Any:
        try:
            return self._inner.throw(*error)
        except (SystemExit, KeyboardInterrupt) as other:
            raise RuntimeError(describe(other)) from other

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextlib.contextmanager
def asyncio_tasks_kept() -> Iterator[None]:
    """SystemExit and KeyboardInterrupt become RuntimeError there. The slots make their asyncio tasks without this, and pay nothing."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if streams.current.get() is not None and asyncio.iscoroutine(coroutine):
            coroutine = _Kept(coroutine)
        return before(loop, coroutine, **options) if before else asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(before)
