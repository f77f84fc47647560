"""A process that cannot reach its servers says why, at once, and a signal ends it in every phase of waiting."""

import asyncio
import os
import signal
import socket
import sys
import time

import asyncpg

from tests.support.buckets import Bucket
from tests.support.databases import Database
from tests.support.servers import Servers
from tests.support.wait import LIMIT, wait_until

BROKER = ("-m", "services.broker")
WORKER = ("-m", "shared.worker", "--exec")
IMPATIENT = (
    "-c",
    "import runpy, shared.runtime.startup as s; s.PATIENCE = 0.5; runpy.run_module('services.broker', run_name='__main__')",
)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Waiting:
    """A process of which we read what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process, self.said = process, ""
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.said += line.decode(errors="replace")

    async def says(self, *texts: str) -> None:
        await wait_until(lambda: all(text in self.said for text in texts), on_timeout=lambda: self.said)

    async def ended(self) -> int:
        code = await asyncio.wait_for(self.process.wait(), LIMIT)
        await self._reading
        return code


async def start(arguments: tuple[str, ...], settings: dict[str, str]) -> Waiting:
    env = {key: value for key, value in os.environ.items() if not key.startswith("HEADRACE_")}
    env |= {f"HEADRACE_{key.upper()}": value for key, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments), env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    return Waiting(process)


async def test_each_server_that_is_waited_for(nats: Servers, database: Database, s3: Bucket) -> None:
    storage = {name: getattr(s3, name) for name in s3.__struct_fields__}
    fine = nats.bus("broker") | storage | {"database_url": database.url("broker"), "log_format": "console"}
    nobody, url = f"127.0.0.1:{unused_port()}", database.url("broker")
    role, password = "headrace_broker:", url.partition("headrace_broker:")[2].partition("@")[0]
    cases = [
        (WORKER, {"nats_url": f"nats://{nobody}"}, ("NATS", nobody, "nobody listens there")),
        (WORKER, {"nats_password": "wrong", "nats_user": "worker"}, ("NATS", "unknown user, or wrong password")),
        (BROKER, {"database_url": f"postgresql://x@{nobody}/h"}, ("PostgreSQL", "nobody listens there")),
        (BROKER, {"database_url": url.replace(role + password, role + "wrong")}, ("PostgreSQL", "password")),
        (BROKER, {}, ("the lock of migrations", "another process is migrating")),
    ]
    holder = await asyncpg.connect(database.url("broker"))
    assert await holder.fetchval("SELECT locks.try_hold('migrate.broker')")
    started = [await start(arguments, fine | wrong) for arguments, wrong, _ in cases]
    impatient = await start(
        IMPATIENT, fine | {"nats_url": f"nats://{nobody}", "database_url": f"postgresql://x@{nobody}/h"}
    )
    try:
        await asyncio.gather(*(each.says(*texts) for each, (_, _, texts) in zip(started, cases, strict=True)))
        for each in started:
            each.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert [await each.ended() for each in started] == [0] * len(cases), [each.said[-2000:] for each in started]
        assert time.monotonic() - began < 20
        assert all("Traceback" not in each.said for each in started)
        # Whose patience is over ends with status 1, and says in one line why.
        assert await impatient.ended() == 1
        assert "process.failed" in impatient.said
        assert "gave up after" in impatient.said
        assert "Traceback" not in impatient.said
    finally:
        for each in (*started, impatient):
            if each.process.returncode is None:
                each.process.kill()
        await holder.close()


async def test_a_connected_worker_says_to_what_with_what(nats: Servers, s3: Bucket) -> None:
    storage = {name: getattr(s3, name) for name in s3.__struct_fields__}
    arguments = (*WORKER, "--app", "tests.support.functions:app", "--partition", "gpu,default", "--slots", "3")
    worker = await start(arguments, nats.bus("worker") | storage)
    try:
        at = nats.nats_url.removeprefix("nats://")
        await worker.says("worker.started", at, '"partitions": ["gpu", "default"]', '"slots": 3', '"exec"', '"blob"')
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.ended() == 0
    finally:
        if worker.process.returncode is None:
            worker.process.kill()
