"""`python -m deploy.local`: however it ends, nothing of it goes on; what is stored stays; what dies comes back."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from deploy.local.process import SERVICES, Command, Event
from deploy.local.stack import Stack, StartError
from tests.support.folders import folder
from tests.support.servers import of_stack
from tests.support.supervisor import Run, left
from tests.support.wait import wait_until

SERVERS = {"nats", "postgres", "s3"}


@contextlib.asynccontextmanager
async def run(home: Path, *options: str) -> AsyncIterator[Run]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "--home", str(home), "--servers-only", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    started = Run(home, process)
    try:
        yield started
    finally:
        if process.returncode is None:
            process.terminate()
        await started.rest()
        await process.wait()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
async def test_nothing_is_left_running(home: Path, how: signal.Signals) -> None:
    async with run(home) as started:
        await started.until("Running.")
        family = started.family()
        assert json.loads((home / "address.json").read_text())["pids"].keys() >= SERVERS
        assert len(family) > 6  # with the janitor and PostgreSQL's own
        if how == signal.SIGINT:
            os.killpg(started.process.pid, how)  # Ctrl-C reaches the whole foreground group
        else:
            started.process.send_signal(how)
        await wait_until(lambda: not left(family), timeout=30, every=0.1, on_timeout=lambda: left(family))
        code = await started.process.wait()
    assert code == (-how if how == signal.SIGKILL else 0), started.output


async def test_further_signals_while_stopping_are_harmless(home: Path) -> None:
    async with run(home) as started:
        await started.until("Running.")
        family = started.family()
        started.process.send_signal(signal.SIGINT)
        await started.until("Stopping")
        for _ in range(3):
            started.process.send_signal(signal.SIGINT)
        assert await started.process.wait() == 0
        assert "Traceback" not in await started.rest()
    assert not left(family)


async def test_stopped_while_it_starts(home: Path) -> None:
    async with run(home) as started:
        await wait_until(lambda: (home / "logs" / "postgres.log").exists(), timeout=30)
        family = started.family()
        started.process.terminate()
        assert await started.process.wait() == 0
        assert "Traceback" not in await started.rest()
    assert not left(family)


async def test_a_second_run_says_so_and_leaves_the_first_alone(home: Path) -> None:
    async with run(home) as first:
        await first.until("Running.")
        address = (home / "address.json").read_text()
        async with run(home) as second:
            assert await second.process.wait() == 1
            assert "is in use" in await second.rest()
        assert (home / "address.json").read_text() == address
        assert not first.process.returncode
        assert len(left(first.family())) > 6


async def test_two_folders_run_side_by_side(home: Path) -> None:
    async with run(home / "a") as first, run(home / "b") as second:
        await first.until("Running.")
        await second.until("Running.")


async def test_data_is_kept_even_when_the_ports_change(home: Path) -> None:
    home.mkdir()

    async def visit(write: bool) -> tuple[Any, ...]:
        async with Stack(home) as stack:
            servers = of_stack(stack)
            connection = await asyncpg.connect(stack.database_url("scheduler"))
            client = await servers.connect()
            jetstream = client.jetstream()
            async with servers.s3_client() as s3:
                if write:
                    await connection.execute("CREATE TABLE kept AS SELECT 'row' AS what")
                    await jetstream.add_stream(name="KEPT", subjects=["kept"])
                    await jetstream.publish("kept", b"message")
                    await s3.put_object(Bucket="headrace", Key="kept", Body=b"object")
                row = await connection.fetchval("SELECT what FROM kept")
                message = await jetstream.get_msg("KEPT", seq=1)
                body = await (await s3.get_object(Bucket="headrace", Key="kept"))["Body"].read()
            await connection.close()
            await client.close()
            return row, message.data, body

    assert await visit(write=True) == ("row", b"message", b"object")
    (home / "ports.json").unlink()
    assert await visit(write=False) == ("row", b"message", b"object")


Kept = tuple[Stack, list[Event]]


@pytest.fixture(scope="module")
async def kept() -> AsyncIterator[Kept]:
    """A stack for those that leave it whole, and what it tells."""
    events: list[Event] = []
    with folder() as home:
        async with Stack(home, on_event=events.append, throwaway=True) as stack:
            yield stack, events


@pytest.mark.parametrize("name", sorted(SERVERS))
async def test_a_server_that_is_killed_comes_back(kept: Kept, name: str) -> None:
    stack, events = kept
    before = stack.processes[name].pid
    stack.processes[name].signal(signal.SIGKILL)
    await wait_until(lambda: Event(name, "restarting") in events, on_timeout=lambda: events)
    assert stack.processes[name].pid != before

    async def answers() -> bool:
        try:
            await stack.servers[name].ready()
        except Exception:
            return False
        return True

    await wait_until(answers, timeout=30, every=0.1, on_timeout=stack.processes[name].tail)


async def test_a_process_that_is_renewed_comes_back_at_once_and_has_not_died(kept: Kept) -> None:
    stack, events = kept
    process = await stack.run(Command(name="renewed", argv=("sleep", "1000"), tier=SERVICES))
    before = process.pid
    await process.restart("to see")
    await wait_until(lambda: process.pid not in (None, before))
    assert [event for event in events if event.name == "renewed"] == [
        Event("renewed", "renewed", "to see"),
        Event("renewed", "restarting"),
    ]


async def test_a_child_that_its_parent_left_behind_is_stopped(home: Path) -> None:
    async with Stack(home, throwaway=True) as stack:
        script = "sleep 1000 & echo $!; exec sleep 1000"
        process = await stack.run(Command(name="parent", argv=("sh", "-c", script), tier=SERVICES))
        orphan = psutil.Process(int(await wait_until(process.tail)))
        assert orphan.is_running()
    await wait_until(lambda: not left([orphan]))


async def test_a_process_that_ignores_the_stop_signal_is_killed(home: Path) -> None:
    events: list[Event] = []
    async with Stack(home, on_event=events.append, throwaway=True) as stack:
        deaf = Command(name="deaf", argv=("sh", "-c", "trap '' TERM; echo up; sleep 1000"), tier=SERVICES, grace=0.3)
        process = await stack.run(deaf)
        await wait_until(process.tail)
        child = psutil.Process(process.pid)
    assert not left([child])
    assert any(event.name == "deaf" and event.state == "killed" for event in events)


async def test_a_server_that_cannot_start_shows_its_log(home: Path) -> None:
    with pytest.raises(StartError, match="nonsense"):
        async with Stack(home, postgres_settings={"nonsense": "1"}):
            pass
