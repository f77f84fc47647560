"""The table of tests/behaviours, on a worker on the bus in memory: how a task ends, and that nobody else notices."""

import asyncio
import contextlib
import gc
import locale
import os
import re
import resource
import signal
import socket
import sys

import msgspec
import pytest

from shared.contracts.work import Completed, Failed, Logged, Progress
from shared.worker import App, Task
from tests.support.agent_rig import Rig, gates, hold, open_rig
from tests.support.behaviours import coroutine
from tests.support.behaviours.case import Case
from tests.support.behaviours.coroutine import secret
from tests.support.wait import wait_until

SLOTS = 4
CASES = [pytest.param(case, id=case.name) for case in coroutine.table.cases if not case.fatal]

healthy = App()
healthy.function(hold)
meetings: dict[int, asyncio.Barrier] = {}


@healthy.function
async def meet(task: Task) -> object:
    """Returns when as many run at once as there are slots: what it sees of the process."""
    print("met")
    await meetings.setdefault(task.payload, asyncio.Barrier(SLOTS)).wait()
    await asyncio.sleep(0)
    return [process(), secret.get()]


def as_it_was(first: bytes | None) -> bool:
    with contextlib.suppress(OSError, RuntimeError):
        return msgspec.json.encode([process(), ""]) == first
    return False


def process() -> object:
    mask = os.umask(0o022)
    os.umask(mask)
    handlers = [repr(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGUSR1)]
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    python = [sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold()]
    asyncio.new_event_loop().close()
    return [
        os.getcwd(),
        mask,
        files,
        handlers,
        python,
        socket.getdefaulttimeout(),
        locale.setlocale(locale.LC_ALL),
    ]


everything = App()
everything.functions |= healthy.functions | coroutine.app.functions


@pytest.mark.filterwarnings(
    "ignore::RuntimeWarning", "ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("case", CASES)
async def test_a_task_ends_as_the_table_says_and_nobody_else_notices(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.worker.slots.STOP_LIMIT", 0.05)
    async with open_rig(
        everything, slots=SLOTS, owns_process=True
    ) as rig:  # here, as pytest changes the streams after fixtures
        await check(rig, case)


async def check(rig: Rig, case: Case) -> None:
    first = await met(rig, 1)
    neighbour = rig.work("hold", msgspec.json.encode(case.name))
    await rig.send(neighbour)
    await rig.runs(neighbour)
    work = rig.work(case.name, case.payload)
    await rig.send(msgspec.structs.replace(work, max_duration=case.max_duration))
    ended = await rig.ended(work)
    assert_ended(case, ended)
    await wait_until(lambda: rig.agent.held.get(work.id) is None)
    gates[case.name].set()
    assert isinstance(await rig.ended(neighbour), Completed)
    await wait_until(lambda: as_it_was(first[0]), every=0.01)
    assert await met(rig, 2) == first, "the process is as it was"
    reports = [report for report in rig.reports() if report.task == work.id]
    assert len([report for report in reports if isinstance(report, Completed | Failed)]) == 1
    assert re.search(case.log, "".join(report.text for report in reports if isinstance(report, Logged)), re.S)
    received = [report.message for report in reports if isinstance(report, Progress)]
    assert received[-1:] == ([case.progress] if case.progress else [])


def assert_ended(case: Case, ended: Completed | Failed) -> None:
    if isinstance(ended, Failed):
        assert ended.kind == case.ends
        assert re.match(case.text, ended.message, re.S)
        assert len(ended.message) <= 4000
    else:
        assert case.ends == "completed"
        assert [output.data for output in ended.outputs] == [case.value]


async def met(rig: Rig, number: int) -> list[bytes | None]:
    """All slots run a task at the same time; what these see of the process."""
    meetings.clear()
    works = [rig.work("meet", msgspec.json.encode(number)) for _ in range(SLOTS)]
    await rig.send(*works)
    ends = [await rig.ended(work) for work in works]
    assert not [end for end in ends if not isinstance(end, Completed)]
    ids = {work.id for work in works}
    texts = [report.text for report in rig.reports() if isinstance(report, Logged) and report.task in ids]
    assert texts == ["met\n"] * SLOTS, "in its own log, and in no other"
    return [end.outputs[0].data for end in ends if isinstance(end, Completed)]
