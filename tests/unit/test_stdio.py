"""sys.stdout and sys.stderr in a worker: each task's words go to the task, the others where they went before."""

import asyncio
import sys
from collections.abc import Callable
from uuid import uuid4

import pytest

from shared.contracts.work import Logged
from shared.worker.log_buffer import LogBuffer
from shared.worker.stdio import captured_streams, current


class Speaker:
    """A function that runs as a task of a worker."""

    def __init__(self, speak: Callable[[], object]) -> None:
        self.reports: list[Logged] = []
        self._speak = speak

    async def run(self) -> None:
        printed = LogBuffer(uuid4(), 0, self.reports.append)
        current.set(printed)
        for _ in range(3):
            self._speak()
            await asyncio.sleep(0)
        await asyncio.to_thread(self._speak)
        await asyncio.create_task(self._in_a_task())
        printed.end()
        self._speak()

    async def _in_a_task(self) -> None:
        self._speak()

    @property
    def text(self) -> str:
        return "".join(report.text for report in self.reports)


async def test_tasks_at_the_same_time_have_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    one = Speaker(lambda: print("one", 1))
    two = Speaker(lambda: sys.stderr.write("two\n"))
    with captured_streams(), captured_streams():
        async with asyncio.TaskGroup() as group:
            group.create_task(one.run())
            group.create_task(two.run())
        print("nobody's")
    assert (sys.stdout, sys.stderr) == before
    assert (one.text, two.text) == ("one 1\n" * 5, "two\n" * 5)
    # After its end a task's words are nobody's either.
    assert capsys.readouterr() == ("one 1\nnobody's\n", "two\n")


async def test_bytes_and_odd_characters_are_taken_as_well() -> None:
    speaker = Speaker(lambda: None)
    printed = LogBuffer(uuid4(), 0, speaker.reports.append)
    with captured_streams():
        token = current.set(printed)
        sys.stdout.buffer.write(b"raw \xff ")
        print("\udc80", end="", flush=True)
        assert (sys.stdout.encoding, sys.stdout.isatty()) == ("utf-8", False)
        current.reset(token)
    printed.end()
    assert speaker.text == "raw \ufffd \\udc80"


async def test_a_stream_that_somebody_put_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    other = sys.__stderr__
    with captured_streams():
        monkeypatch.setattr(sys, "stdout", other)
    assert sys.stdout is other
