"""Functions in child processes: what is printed there, in whatever way, is their task's."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from shared.contracts.work import LOG_KEPT, Logged
from shared.worker.child_protocol import Call
from shared.worker.children import AttemptLost, Children
from shared.worker.line_process import socket_pair
from shared.worker.log_buffer import LogBuffer
from shared.worker.shortage import ResourceShortage
from tests.support.compute_functions import PATH
from tests.support.wait import wait_until


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    made = Children(PATH)
    yield made
    await made.close()


async def run(children: Children, function: str, payload: Any = None) -> str:
    """What it printed, whatever became of it."""
    received: list[Logged] = []
    printed = LogBuffer(uuid4(), 0, received.append)
    call = Call(function, uuid4(), 0, msgspec.json.encode(payload), [b""], 1)
    try:
        await children.run(call, lambda *_: None, printed)
    except (AttemptLost, asyncio.CancelledError):
        pass
    finally:
        printed.end()
    return "".join(report.text for report in received)


async def test_it_may_print_in_any_way_and_each_task_has_its_own(
    children: Children, capfd: pytest.CaptureFixture[str]
) -> None:
    said = "by print\nby stderr\nby the descriptor\nby a sub-process\nby C\n"
    assert await run(children, "speak") == said
    assert await run(children, "double") == "a line that is not a frame\n"
    assert await run(children, "speak") == said
    assert capfd.readouterr() == ("", ""), "nothing is passed on twice"


def test_a_default_timeout_that_a_task_has_set_is_none_of_a_child() -> None:
    """The child failed when it waited for its first call, and what it then printed was in that task's log."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(1e-6)
    try:
        ours, theirs = socket_pair()
    finally:
        socket.setdefaulttimeout(before)
    with ours, theirs:
        assert os.get_blocking(theirs.fileno())


async def test_a_loop_that_prints_ends_and_is_cut(children: Children) -> None:
    lines = 100_000
    text = await run(children, "chatter", lines)
    assert text[:LOG_KEPT].splitlines()[-1] == f"{LOG_KEPT // 64 - 1:063d}"
    assert text[LOG_KEPT:] == f"\n… {lines * 64 - LOG_KEPT} bytes more were not kept\n"


async def test_what_a_killed_child_printed_is_there(children: Children, tmp_path: Path) -> None:
    assert await run(children, "last_words") == "attempt 0\n"
    received = tmp_path / "told"
    running = asyncio.create_task(run(children, "last_words", str(received)))
    await wait_until(received.exists)
    running.cancel()
    assert await running == "attempt 0\n"


async def test_a_child_that_is_killed_while_it_sends_a_large_answer_ends(children: Children) -> None:
    child = await children.start_child()
    call = Call("large", uuid4(), 0, msgspec.json.encode(64 * 1024 * 1024), [], 1, [], [uuid4()])
    running = asyncio.create_task(child.channel.call(call, lambda *_: None))
    await wait_until(lambda: child.channel.buffered > 0, timeout=20, every=0)
    running.cancel()
    await asyncio.wait_for(child.kill(), 10)


async def test_functions_that_cannot_be_loaded_are_the_workers_trouble_and_why_is_said() -> None:
    children = Children("tests.no_such_module:app")
    with pytest.raises(ResourceShortage) as unwell:
        await run(children, "double")
    assert str(unwell.value) == (
        "no child process can be started: it ended with status 1: ModuleNotFoundError: No module named 'tests.no_such_module'"
    )
    await children.close()


async def test_a_child_that_dies_while_it_is_idle_is_nobodys_harm(children: Children) -> None:
    assert await run(children, "double") == "a line that is not a frame\n"
    (child,) = children.idle
    os.kill(child.process.pid, signal.SIGKILL)
    await wait_until(lambda: not child.channel.usable)
    assert await run(children, "double") == "a line that is not a frame\n"


async def test_what_comes_after_a_task_is_dropped_and_counted(children: Children) -> None:
    """Of what a task has left behind."""
    assert await run(children, "double") == "a line that is not a frame\n"
    (child,) = children.idle
    with open(f"/proc/{child.process.pid}/fd/1", "wb", buffering=0) as late:
        late.write(b"late\n")
    assert await run(children, "speak") == "by print\nby stderr\nby the descriptor\nby a sub-process\nby C\n"
    assert child.output.late == 5
