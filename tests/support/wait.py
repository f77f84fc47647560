"""Waiting for something to become true. The only place in the tests that sleeps."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")
LIMIT = 30.0
"""Seconds that anything may take on a machine that is busy with much else; nothing is expected to take as long."""


async def wait_until(
    predicate: Callable[[], T | Awaitable[T]],
    *,
    timeout: float = LIMIT,
    every: float = 0.02,
    on_timeout: str | Callable[[], object | Awaitable[object]] = "",
) -> T:
    """Asks until the answer is true, and returns it. `on_timeout`: what to show otherwise, or a call that tells."""
    clock = asyncio.get_running_loop().time
    end = clock() + timeout
    while True:
        answer = await _answer(predicate())
        if answer:
            return answer
        if clock() >= end:
            shown = await _answer(on_timeout()) if callable(on_timeout) else on_timeout
            raise AssertionError(f"not true after {timeout:g} s; last answer {answer!r}. {shown}".rstrip())
        await asyncio.sleep(every)


async def _answer(value: T | Awaitable[T]) -> T:
    return await value if inspect.isawaitable(value) else value
