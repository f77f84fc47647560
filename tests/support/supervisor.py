"""The supervisor of `make run` as a process of its own, as a person starts it."""

import asyncio
from pathlib import Path

import psutil

from tests.support.wait import LIMIT


class Run:
    """The supervisor as a process of its own, as a person starts it."""

    def __init__(self, home: Path, process: asyncio.subprocess.Process) -> None:
        self.home, self.process = home, process
        self.output = ""

    async def until(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(4 * LIMIT):
            while text not in self.output:
                line = await self.process.stdout.readline()
                assert line, f"ended without saying {text!r}:\n{self.output}"
                self.output += line.decode()

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]

    async def rest(self) -> str:
        assert self.process.stdout is not None
        self.output += (await self.process.stdout.read()).decode()
        return self.output


def left(family: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in family if _lives(p)]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return False
