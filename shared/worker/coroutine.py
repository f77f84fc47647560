"""One run of a coroutine function, which the worker can abandon even if the code does not end."""

import contextlib
import os
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from shared.worker import stdio
from shared.worker.held_tasks import HeldTask


class _Process:
    """Whether this process is a copy that the code of a task has made of the worker."""

    copied = False


def _on_copy() -> None:
    _Process.copied = True


os.register_at_fork(after_in_child=_on_copy)


async def run_code(held: HeldTask, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Awaits a coroutine: returns what it returns, raises what it raises.

    A copy of the worker's process that the code makes (`os.fork`) ends here, when it would go on as the worker: they share connections.
    Once `held.abandoned` is set, the next time that the code would go on (cancel its asyncio task to make that now) it does not: it is
    closed as far as it lets itself be closed, never runs again, and `CancelledError` goes on to who awaits.
    """
    token = stdio.current.set(held.log_buffer)
    try:
        awaited = coroutine.send(None)
        return await _rest(held, coroutine, awaited)
    except StopIteration as ended:  # it has returned without waiting for anything, as small functions do
        return ended.value
    finally:
        if _Process.copied:
            os._exit(1)
        stdio.current.reset(token)


@types.coroutine
def _rest(held: HeldTask, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """Drives the coroutine on, which waits for `awaited`, as `await` does."""
    resume: Callable[[Any], Any]
    sent: Any
    held.suspended = True
    try:
        while True:
            if _Process.copied:
                os._exit(1)
            try:
                resume, sent = coroutine.send, (yield awaited)
            except BaseException as error:
                if held.abandoned:
                    raise
                if (
                    error.__traceback__ is not None
                ):  # its first entry is this very line, which is nothing to its readers
                    error.__traceback__ = error.__traceback__.tb_next
                resume, sent = coroutine.throw, error
            try:
                awaited = resume(sent)
            except StopIteration as ended:
                return ended.value
    finally:
        held.suspended = False
        if held.abandoned:
            with contextlib.suppress(BaseException):  # the code may answer GeneratorExit with anything
                coroutine.close()
