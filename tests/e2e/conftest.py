"""A whole system as `make run` has it: supervised, with two sites; and the main job on it."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from rich.console import Console

from deploy.local import system
from deploy.local.job import job
from deploy.local.stack import Stack
from tests.conftest import folder


class Made(NamedTuple):
    """What a main job left in `out/`, and what it said."""

    catalogue: bytes
    sheet: bytes
    said: str


MainJob = Callable[[], Awaitable[Made]]


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    with folder() as home:
        async with Stack(home) as stack:
            await system.start(stack, workers=1, slots=2)
            yield stack


@pytest.fixture
def pid(monkeypatch: pytest.MonkeyPatch) -> str:
    """A dataset of this test's own, so that it is archived here, not found."""
    name = f"test/{uuid4().hex[:12]}"
    monkeypatch.setattr("deploy.local.job.job.pid", lambda files: name)
    return name


@pytest.fixture
def main_job(stack: Stack) -> MainJob:
    async def run() -> Made:
        home = stack.home.path
        said = io.StringIO()
        console = Console(file=said, width=120)
        assert await job.main(home, console) == 0, said.getvalue()
        return Made(*_products(home), said.getvalue())

    return run


def _products(home: Path) -> tuple[bytes, bytes]:
    return (home / "out/catalogue.ecsv").read_bytes(), (home / "out/contact-sheet.png").read_bytes()
