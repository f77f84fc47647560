"""What a full disk does to each of the three servers, and that afterwards all of them take everything again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from deploy.local.disk_space import ENOUGH, DiskSpace
from deploy.local.process import Event
from deploy.local.stack import Stack
from shared.runtime.loop import Loop
from tests.support.servers import of_stack
from tests.support.smalldisk import SmallDisk, small_disk
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos

FOLDERS = 24
"""The object store's index is in parts, by folder: enough to meet each."""


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    with small_disk(1400) as disk:
        yield disk


@asynccontextmanager
async def watched(stack: Stack) -> AsyncIterator[None]:
    room = asyncio.create_task(Loop("room", 0.2, DiskSpace(stack).run_once).run())
    try:
        yield
    finally:
        room.cancel()
        await asyncio.wait({room})


class Written:
    """What each server has acknowledged."""

    def __init__(self, stack: Stack, jetstream: Any, s3: Any) -> None:
        self._stack, self._jetstream, self._s3 = stack, jetstream, s3
        self.messages: dict[int, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.rows: list[str] = []

    async def write(self, tag: str) -> int:
        """A round over all of them, whoever refuses; how much was refused."""
        refused = 0
        for number in range(FOLDERS):
            for call in (self._message, self._object):
                try:
                    await call(f"{number}/{tag}")
                except Exception:
                    refused += 1
        try:
            await self._row(tag)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            refused += 1
        return refused

    async def _message(self, name: str) -> None:
        data = name.encode() * 2000
        self.messages[(await self._jetstream.publish("t", data, timeout=0.2)).seq] = data

    async def _object(self, name: str) -> None:
        await self._s3.put_object(Bucket="headrace", Key=name, Body=name.encode())
        self.objects[name] = name.encode()

    async def _row(self, tag: str) -> None:
        connection = await asyncpg.connect(self._stack.postgres.url("headrace"), timeout=5)
        try:
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (tag text)")
            await connection.execute("INSERT INTO kept VALUES ($1)", tag)
            self.rows.append(tag)
            if tag.startswith("full"):
                await connection.execute("SELECT pg_switch_wal()")  # its next write needs a file of 16 MiB
        finally:
            await connection.close()

    async def all_there(self) -> None:
        for sequence, data in self.messages.items():
            assert (await self._jetstream.get_msg("T", seq=sequence)).data == data
        for key, data in self.objects.items():
            assert await (await self._s3.get_object(Bucket="headrace", Key=key))["Body"].read() == data
        connection = await asyncpg.connect(self._stack.postgres.url("headrace"))
        try:
            found = {row["tag"] for row in await connection.fetch("SELECT tag FROM kept")}
        finally:
            await connection.close()
        assert found >= {*self.rows}


async def test_every_server_takes_everything_again_and_has_lost_nothing(disk: SmallDisk) -> None:
    events: list[Event] = []
    home = disk.folder / "home"
    async with Stack(home, on_event=events.append, throwaway=True) as stack, watched(stack), stack.s3.client() as s3:
        disk.take("others", leave=2 * ENOUGH)
        client = await of_stack(stack).connect()
        jetstream = client.jetstream()
        await jetstream.add_stream(name="T", subjects=["t"])
        written = Written(stack, jetstream, s3)
        assert await written.write("before") == 0

        disk.take("filler")
        round_ = 0

        async def postgres_has_died() -> bool:
            nonlocal round_
            round_ += 1
            disk.take("filler")
            assert await written.write(f"full{round_}")
            return any(event.name == "postgres" and event.state == "died" for event in events)

        await wait_until(postgres_has_died, timeout=60, on_timeout=lambda: events)
        assert [event.state for event in events if event.name == "disk"] == ["full"]
        disk.give_back("filler")

        await wait_until(lambda: any(e.state == "well again" for e in events), timeout=60, on_timeout=lambda: events)
        assert {event.name for event in events if event.state == "renewed"} == {"nats", "s3"}

        async def all_taken() -> bool:
            return await written.write("after") == 0

        await wait_until(all_taken, timeout=20, on_timeout=stack.processes["s3"].tail)
        await written.all_there()
        with suppress(Exception):
            await client.close()
