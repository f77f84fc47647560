"""Asyncio tasks that the code of a coroutine function makes (`create_task`, `gather`): whatever they raise, the loop goes on."""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator, Iterator
from typing import Any

from shared.worker import stdio
from shared.worker.error_text import describe


class _GuardedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine that raises RuntimeError in place of SystemExit and KeyboardInterrupt, for which asyncio would end its loop."""

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
def guard_asyncio_tasks() -> Iterator[None]:
    """In the block, asyncio tasks that the code of a task makes raise RuntimeError in place of SystemExit and KeyboardInterrupt.

    The slots make their own asyncio tasks without this, so that it costs nothing for each task.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def make(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        if stdio.current.get() is not None and asyncio.iscoroutine(coroutine):
            coroutine = _GuardedCoroutine(coroutine)
        return before(loop, coroutine, **options) if before else asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(make)
    try:
        yield
    finally:
        loop.set_task_factory(before)
