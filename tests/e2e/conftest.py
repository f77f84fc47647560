"""A whole system as `make run` has it: supervised, with two sites; and the main job on it."""

import io
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from nats.errors import Error as NatsError
from rich.console import Console

from deploy.demo.__main__ import APP
from deploy.demo.job import job
from deploy.local import system
from deploy.local.stack import Stack
from shared.contracts import subjects
from shared.contracts.execution import Site
from tests.support.folders import folder
from tests.support.main_job import Made, MainJob
from tests.support.servers import of_stack
from tests.support.speaking import speaking
from tests.support.wait import wait_until


class ShortOffers(Stack):
    """An offer whose answer was lost with its broker holds its site's cores for 20 s, not for five minutes."""

    def env(self, process: str, site: str = "") -> dict[str, str]:
        more = {"HEADRACE_OFFER_SECONDS": "20"} if process == "broker" else {}
        return {**super().env(process, site), **more}


@pytest.fixture(scope="module")
async def stack() -> AsyncIterator[Stack]:
    with folder() as home:
        async with ShortOffers(home, throwaway=True) as stack:
            await system.start(stack, workers=1, slots=2, app=APP)
            yield stack


@pytest.fixture
def pid(monkeypatch: pytest.MonkeyPatch) -> str:
    """A dataset of this test's own, so that it is archived here, not found."""
    name = f"test/{uuid4().hex[:12]}"
    monkeypatch.setattr("deploy.demo.job.job.pid", lambda files: name)
    return name


@pytest.fixture
def main_job(stack: Stack) -> MainJob:
    async def run() -> Made:
        await _sites_are_free(stack)
        home = stack.home.path
        said = io.StringIO()
        console = Console(file=said, width=120)
        assert await job.main(home, console) == 0, said.getvalue()
        return Made(*_products(home), said.getvalue())

    return run


async def _sites_are_free(stack: Stack) -> None:
    """What the test before held is given back: otherwise the better site may have no cores."""
    bus = await of_stack(stack).connect()

    async def free(site: str) -> bool:
        try:
            subject = subjects.broker(site, "ping")
            headers = speaking(str(stack.home.keys), "admin", subject)
            answer = await bus.request(subject, b"{}", headers=headers, timeout=2)
            seen = msgspec.json.decode(answer.data, type=Site)
        except (NatsError, msgspec.MsgspecError):  # its broker is on its way back
            return False
        return seen.cores_free == seen.cores

    try:
        for name in system.SITES:
            await wait_until(partial(free, f"site-{name}"), timeout=60, every=0.2, on_timeout=name)
    finally:
        await bus.close()


def _products(home: Path) -> tuple[bytes, bytes]:
    return (home / "out/catalogue.ecsv").read_bytes(), (home / "out/contact-sheet.png").read_bytes()
