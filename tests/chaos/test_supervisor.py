"""`make run` ends in the middle of the work, in whatever way: nothing of it goes on, and the next run finishes it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.chaos.run import LIMIT
from tests.support.edge import Edge, Watch
from tests.support.supervisor import Run, left
from tests.support.wait import wait_until

pytestmark = pytest.mark.chaos

QUICK, SLOW = 4_000, 1_000
LINES = b'{"payload":0.02,"options":{"function":"sleep"}}\n' * SLOW + b"{}\n" * QUICK


@contextlib.asynccontextmanager
async def run(home: Path) -> AsyncIterator[Run]:
    """Everything, without the main job."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.local", "--home", str(home), "--workers", "2"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        process_group=0,
    )
    started = Run(home, process)
    try:
        try:
            await started.until("Running.")
        except TimeoutError:
            logs = {log.name: log.read_text().splitlines()[-5:] for log in (home / "logs").glob("*.log")}
            raise AssertionError(f"it did not come up:\n{started.output}\n{logs}") from None
        yield started
    finally:
        if process.returncode is None:
            process.terminate()
        await started.rest()
        await process.wait()


def edge_of(home: Path) -> Edge:
    return Edge(json.loads((home / "address.json").read_text())["http"], (home / "token").read_text().strip())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
async def test_nothing_goes_on_and_the_next_run_finishes(home: Path, how: signal.Signals) -> None:
    async with run(home) as first, edge_of(home) as edge:
        session = await edge.session(function="noop")
        async with Watch(edge, session) as watch:
            await edge.submit(session, LINES)
            await wait_until(lambda: len(watch.received.completed) > SLOW // 5, timeout=LIMIT)
            family = first.family()
            if how == signal.SIGINT:
                os.killpg(first.process.pid, how)  # Ctrl-C reaches the whole foreground group
            else:
                first.process.kill()
            await wait_until(lambda: not left(family), timeout=LIMIT, every=0.1, on_timeout=lambda: left(family))
        assert len(watch.received.completed) < SLOW + QUICK

    async with run(home), edge_of(home) as edge, Watch(edge, session) as watch:
        received = watch.received
        await wait_until(
            lambda: min(len(received.completed), len(received.results)) == SLOW + QUICK,
            timeout=LIMIT,
            on_timeout=lambda: (len(received.completed), len(received.results)),
        )
        await edge.close_session(session)
        await wait_until(lambda: received.closed, timeout=LIMIT)
        assert set(received.completed.values()) == set(received.results.values()) == set(received.ids.values()) == {1}
        assert not received.again
        assert not received.failed
        for noun in ("tasks", "results"):
            items = await edge.everything(f"/compute/v1/sessions/{session}/{noun}")
            assert Counter(item["status"] for item in items) == {"completed": SLOW + QUICK}
