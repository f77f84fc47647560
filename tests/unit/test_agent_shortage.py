"""A worker that has run out of something: its tasks go back uncounted, it says why, takes less or nothing, and gets well by itself."""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shared.contracts.work import Completed, Failed
from shared.worker.health import Health
from shared.worker.shortage import ResourceShortage, shortage
from tests.support.agent_rig import Rig, app, open_rig, rig
from tests.support.wait import wait_until

__all__ = ["rig"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.worker.health.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("shared.worker.health.LONGEST_PAUSE", 0.05)


@contextlib.contextmanager
def descriptors(more: int) -> Iterator[None]:
    """So many descriptors can be opened in this process, and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(2)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def forkless(*args: Any, **options: Any) -> None:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def well(rig: Rig) -> bool:
    return bool(rig.beats) and not rig.beats[-1].unwell


async def test_what_it_cannot_begin_and_what_waits_behind_it_goes_back(rig: Rig) -> None:
    first, second = rig.work("nothing"), rig.work("nothing")
    with descriptors(10):
        await rig.send(first, second)
        for work in (first, second):
            report = await rig.ended(work)
            assert isinstance(report, Failed)
            assert report.kind == "returned"
            assert report.message == "no child process can be started: no file descriptors are left to this process"
        await wait_until(lambda: not well(rig))
        assert rig.beats[-1].unwell == report.message
        assert rig.beats[-1].slots == 0
    await wait_until(lambda: well(rig))
    assert rig.beats[-1].slots == 1
    third = rig.work("nothing")
    await rig.send(third)
    assert isinstance(await rig.ended(third), Completed)


async def test_without_processes_nothing_is_taken_until_there_are_some(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("subprocess.Popen", forkless)
        first, later = rig.work("nothing"), rig.work("nothing")
        await rig.send(first)
        assert (await rig.ended(first)).message.endswith("no processes or threads are left to this user")  # type: ignore[union-attr]
        await rig.send(later)
    assert isinstance(await rig.ended(later), Completed)
    assert [report for report in rig.reports() if isinstance(report, Failed)] == [await rig.ended(first)]


async def test_with_few_descriptors_all_tasks_complete_and_none_fails() -> None:
    """24 slots, and room for a few. The test is the scheduler: what comes back is sent again, as another attempt."""
    async with open_rig(app, slots=24) as rig:
        await _few_descriptors(rig)


async def _few_descriptors(rig: Rig) -> None:
    open_tasks = {work.id: work for work in (rig.work("nothing") for _ in range(60))}
    seen = 0

    async def go_on() -> bool:
        nonlocal seen
        reports = rig.reports()
        new, seen = reports[seen:], len(reports)
        for report in new:
            if isinstance(report, Completed):
                del open_tasks[report.task]
            elif isinstance(report, Failed):
                assert report.kind == "returned", report.message
                work = open_tasks[report.task]
                open_tasks[report.task] = msgspec.structs.replace(work, attempt=report.attempt + 1)
                await rig.send(open_tasks[report.task])
        return not open_tasks

    with descriptors(32):
        await rig.send(*open_tasks.values())
        await wait_until(go_on, timeout=60, on_timeout=lambda: len(open_tasks))
    await wait_until(lambda: well(rig))
    assert any(beat.unwell and 0 < beat.slots < 24 for beat in rig.beats), "it took less"


async def test_health_lets_as_many_run_as_did_and_one_more_after_each_try_that_goes_well() -> None:
    seen: list[tuple[int, str]] = []
    full = True

    async def probe() -> None:
        if full:
            raise ResourceShortage("still full")

    health = Health(3, lambda: seen.append((health.allowed, health.problem)))
    trying = asyncio.create_task(health.run())
    health.fail("full", 2, probe)
    health.fail("full", 1, probe)
    health.fail("full", 2, probe)
    await wait_until(lambda: health.problem == "still full", every=0)
    assert seen == [(2, "full"), (1, "full"), (1, "full")]
    full = False
    await wait_until(lambda: not health.problem)
    assert seen[3:] == [(2, "still full"), (3, "")]
    health.fail("nothing goes", 0, None)
    assert not health.some_allowed.is_set()
    await wait_until(lambda: not health.problem)
    assert health.some_allowed.is_set()
    trying.cancel()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EMFILE, "?"), "no file descriptors are left to this process"),
        (OSError(errno.ENFILE, "?"), "no file descriptors are left on this machine"),
        (RuntimeError("can't start new thread"), "no processes or threads are left to this user"),
        (BlockingIOError(errno.EAGAIN, "a socket has nothing to read"), ""),
        (OSError(errno.ENOSPC, "whose disk?"), ""),
        (ConnectionResetError(errno.ECONNRESET, "?"), ""),
        (RuntimeError("another"), ""),
    ],
)
def test_what_was_short_is_found_behind_other_errors(error: BaseException, words: str) -> None:
    assert shortage(error) == words
    outer = ValueError("outer")
    outer.__cause__ = KeyError("between")
    outer.__cause__.__context__ = error
    assert shortage(outer) == words


@pytest.mark.skipif(
    not shutil.which("setpriv") and os.geteuid() == 0, reason="root is not held to a number of processes"
)
def test_what_comes_when_the_process_table_is_full_goes_back(tmp_path: Path) -> None:
    """A command has filled it. What ran goes on, and so does the worker; when that command has ended, there is room for all."""
    user = max(os.geteuid(), 61_234)  # nobody else's
    os.chown(tmp_path, user if os.geteuid() == 0 else -1, -1)
    # Reads what root may read, so that it finds its Python, and has no other right of root's.
    other = [
        "setpriv",
        f"--reuid={user}",
        "--clear-groups",
        *(f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")),
    ]
    run = subprocess.run(
        [*(other if os.geteuid() == 0 else []), sys.executable, "-m", "tests.support.process_table"],
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert [line for line in run.stdout.splitlines() if line.split(" ")[0] in ("command", "function", "bomb")] == [
        "command ResourceShortage: no command can be started: no processes or threads are left to this user",
        "function ResourceShortage: no child process can be started: no processes or threads are left to this user",
        "bomb completed",
        "command completed",
        "function completed",
    ]
