"""The disk of the home fills up in the middle of the main job, twice: it is said, nothing half done appears, it goes on."""

import asyncio
import hashlib
import json
import sys
import tarfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from deploy.demo.astronomy.catalogue import catalogue
from deploy.demo.astronomy.measure import measure
from deploy.demo.astronomy.records import Record
from deploy.demo.astronomy.sheet import sheet
from deploy.demo.job.files import described, fits_files, pid
from deploy.local.disk_space import ENOUGH
from tests.support.smalldisk import SmallDisk, small_disk
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos

DISK_MIB = 1400
"""A little more than the start asks for."""
HOLD = 6.0
"""Seconds for which the disk stays full."""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(DISK_MIB) as disk:
        yield disk


@pytest.fixture(scope="module")
def expected() -> dict[str, bytes]:
    """What the job makes of the files where nothing is in its way."""
    made = [measure(file.path, file.place.read_bytes()) for file in described(fits_files())]
    records = [msgspec.json.decode(msgspec.json.encode(record), type=Record) for record in made]
    return {"catalogue.ecsv": catalogue(records), "contact-sheet.png": sheet(records)}


class Job:
    """`python -m deploy.demo --once` as a process of its own, and what it says."""

    def __init__(self, home: Path, process: asyncio.subprocess.Process) -> None:
        self.home, self.process, self.said = home, process, ""

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said += line.decode()

    async def until(self, text: str, times: int = 1, timeout: float = 60) -> None:
        await wait_until(lambda: self.said.count(text) >= times, timeout=timeout, on_timeout=lambda: self.said)

    async def ask(self, path: str) -> Any:
        """None while nobody answers."""
        try:
            address = json.loads((self.home / "address.json").read_text())["http"]
            headers = {"Authorization": f"Bearer {(self.home / 'token').read_text().strip()}"}
            async with httpx.AsyncClient(base_url=address, headers=headers, trust_env=False) as http:
                answer = await http.get(path)
        except (FileNotFoundError, httpx.TransportError):
            return None
        return answer.json() if answer.is_success else None


@asynccontextmanager
async def job(home: Path) -> AsyncIterator[Job]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.demo", "--home", str(home), "--once"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    started = Job(home, process)
    reading = asyncio.create_task(started.read())
    try:
        yield started
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reading


async def full_for_a_while(disk: SmallDisk, job: Job, times: int) -> None:
    disk.take("filler")
    await job.until("MiB free in", times)
    clock = asyncio.get_running_loop().time
    until = clock() + HOLD

    def over() -> bool:
        disk.take("filler")  # also what the servers give back meanwhile
        nothing_half_done(job.home)
        return clock() >= until

    await wait_until(over, timeout=HOLD + 5, every=0.2)
    disk.give_back("filler")
    await job.until("well again", times)


def nothing_half_done(home: Path) -> None:
    """No product yet; and every datablock on long-term storage is whole."""
    assert not [*(home / "out").glob("*")]
    for path in (home / "lts" / "data").rglob("*.tar"):
        with tarfile.open(path) as tar:
            assert sum(member.size for member in tar.getmembers()) > 0
        sums = home / "lts" / "sums" / path.relative_to(home / "lts" / "data")
        if sums.exists():
            assert sums.read_text()[:64] == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_the_job_goes_on_when_there_is_room_again(disk: SmallDisk, expected: dict[str, bytes]) -> None:
    dataset = pid(described(fits_files())).replace("/", "%2F")
    async with job(disk.folder / "home") as running:
        await running.until("postgres    ready")
        # So that little is left to be filled when the moment has come; it is not full yet.
        disk.take("others", leave=2 * ENOUGH)

        await wait_until(lambda: running.ask(f"/data/v1/datasets/{dataset}"), timeout=60)
        await full_for_a_while(disk, running, times=1)

        async def computing() -> bool:
            found = await running.ask("/compute/v1/sessions?status=running")
            session = found and found["items"] and await running.ask(f"/compute/v1/sessions/{found['items'][0]['id']}")
            return bool(session) and session["tasks"]["completed"] >= 3

        await wait_until(computing, timeout=60, every=0.01, on_timeout=lambda: running.said)
        await full_for_a_while(disk, running, times=2)

        await wait_until(lambda: running.process.returncode is not None, timeout=60, on_timeout=lambda: running.said)
        assert running.process.returncode == 0, running.said
    assert running.said.count("what is acknowledged is kept") == 2
    assert {path.name: path.read_bytes() for path in (running.home / "out").iterdir()} == expected


async def test_too_little_room_at_the_start_is_said_and_nothing_is_made() -> None:
    with small_disk(100) as disk:
        async with job(disk.folder / "home") as refused:
            assert await refused.process.wait() == 1
        assert [*disk.folder.iterdir()] == []
    assert "100 MiB are free on its disk, 1024 are needed" in refused.said
    assert "Traceback" not in refused.said
