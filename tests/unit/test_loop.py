"""Background loops: woken, surviving errors."""

import asyncio

import pytest

from shared.runtime.loop import Loop
from shared.runtime.retry import Backoff
from tests.support.wait import wait_until


class Work:
    def __init__(self, *errors: Exception) -> None:
        self.errors, self.runs, self.ran = list(errors), 0, asyncio.Event()

    async def __call__(self) -> int:
        self.runs += 1
        self.ran.set()
        if self.errors:
            raise self.errors.pop(0)
        return 0


async def test_it_runs_at_once_and_again_when_woken() -> None:
    work = Work()
    loop = Loop("test", 3600, work)
    running = asyncio.create_task(loop.run())
    await work.ran.wait()
    for n in (2, 3):
        loop.wake()
        await wait_until(lambda n=n: work.runs == n)  # type: ignore[misc]
    running.cancel()


async def test_an_error_does_not_end_it() -> None:
    work = Work(OSError(), ValueError())
    running = asyncio.create_task(Loop("test", 0.001, work, Backoff(first=0.001)).run())
    await wait_until(lambda: work.runs >= 4)
    assert not running.done()
    running.cancel()


def test_its_interval_must_be_positive() -> None:
    with pytest.raises(ValueError, match="test"):
        Loop("test", 0, Work())
