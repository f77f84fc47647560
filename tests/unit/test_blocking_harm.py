"""Blocking functions that do harm, more closely than in the table: what is left, what a channel lets through, what is seen."""

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
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import uvloop

from shared.contracts.work import Logged
from shared.worker.child import Channel
from shared.worker.child_protocol import ANSWER, HEAD, Call, Raised, Returned, decode_answer
from shared.worker.children import AttemptLost, Children
from shared.worker.error_text import TaskError
from shared.worker.leftovers import Leftovers
from shared.worker.log_buffer import LogBuffer
from shared.worker.subtasks import Creations
from tests.support.behaviours.blocking import PATH
from tests.support.process_list import ignored, lives, named
from tests.support.wait import wait_until

GARBAGE = "garbage\n", "g" * 4096, HEAD.pack(7, ANSWER, 2**32 - 1).decode("latin-1"), "\0" * 12, "\0" * 13


class Rig:
    """`stages`: progress of the last task; `text`: what it printed."""

    def __init__(self, children: Children) -> None:
        self.children = children
        self.stages: list[tuple[float, str]] = []
        self.text = ""

    async def run(self, function: str, payload: Any = None) -> Any:
        self.stages, logged = [], list[Logged]()
        printed = LogBuffer(uuid4(), 0, logged.append)
        call = Call(function, uuid4(), 0, msgspec.json.encode(payload), [], 1, [], [uuid4()])
        try:
            returned = await self.children.run(call, lambda f, m: self.stages.append((f, m)), printed)
        finally:
            printed.end()
            self.text = "".join(report.text for report in logged)
        (value,) = returned.outputs
        return value if len(value) > 4096 else msgspec.json.decode(value)

    async def fails(self, function: str, payload: Any = None) -> str:
        with pytest.raises(TaskError) as error:
            await self.run(function, payload)
        return str(error.value)

    async def is_well(self) -> None:
        """Whoever comes next gets its own answer, and nothing of another's."""
        for _ in range(2):
            mark = str(uuid4())
            assert await self.run("echo", mark) == mark
            assert (self.stages, self.text) == ([], "")


@pytest.fixture(scope="module")
async def children() -> AsyncIterator[Children]:
    made = Children(PATH)
    yield made
    await made.close()


@pytest.fixture
async def rig(children: Children) -> AsyncIterator[Rig]:
    rig = Rig(children)
    yield rig
    await rig.is_well()


@pytest.mark.parametrize("function", ["forks_and_both_return", "forks_in_c", "forks_in_a_thread"])
async def test_the_next_task_of_a_process_that_was_copied_gets_its_own_answer(rig: Rig, function: str) -> None:
    assert await rig.run(function) == "original"
    assert rig.stages == []
    await rig.is_well()


async def test_a_process_is_kept_while_nothing_is_left_behind(rig: Rig) -> None:
    pid = (await rig.run("state"))[-1]
    assert await rig.run("runs_a_process_of_multiprocessing") == "original"
    assert (await rig.run("state"))[-1] == pid


async def test_what_came_of_a_task_ends_with_it(rig: Rig) -> None:
    """Before the task has ended; whatever session it is in; and whether the task completes or is cancelled."""
    for function in ("leaves_a_process", "leaves_a_daemon", "leaves_a_process_when_it_is_stopped"):
        mark = str(uuid4())
        running = asyncio.create_task(rig.run(function, mark))
        if function == "leaves_a_process_when_it_is_stopped":
            await wait_until(lambda mark=mark: named(mark))
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert await running == "done"
        assert named(mark) == []


async def test_progress_from_threads_and_a_large_value_do_not_mix(rig: Rig) -> None:
    assert await rig.run("reports_from_threads", 5_000_000) == b"x" * 5_000_000
    assert set(rig.stages) == {(0.5, "y" * 300)}


async def test_who_reports_without_end_leaves_the_loop_to_others(rig: Rig) -> None:
    running = asyncio.create_task(rig.run("reports_without_end"))
    await wait_until(lambda: rig.stages)
    assert await asyncio.wait_for(Rig(rig.children).run("echo", 1), 20) == 1
    running.cancel()
    await asyncio.wait([running])


async def test_what_a_function_changes_of_its_process_no_other_finds(rig: Rig) -> None:
    before = await rig.run("state")
    assert await rig.run("goes_elsewhere") == "done"
    after = await rig.run("state")
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1], "another process"


def _redirect() -> None:
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))


CHANGES: dict[str, Callable[[], object]] = {
    "chdir": lambda: os.chdir("/tmp"),
    "umask": lambda: os.umask(0o777),
    "setrlimit": _limit,
    "environ": lambda: os.environ.update(LEFT="over"),
    "signal": lambda: signal.signal(signal.SIGUSR1, signal.SIG_IGN),
    "mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]),
    "alarm": lambda: signal.alarm(1),
    "close stdout": lambda: sys.stdout.close(),
    "close descriptor 1": lambda: os.close(1),
    "redirect": _redirect,
    "policy": lambda: asyncio.set_event_loop_policy(type("Policy", (asyncio.DefaultEventLoopPolicy,), {})()),
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C.UTF-8" if locale.setlocale(locale.LC_ALL) == "C" else "C"),
    "nice": lambda: os.nice(1),
    "recursion": lambda: sys.setrecursionlimit(200),
    "trace": lambda: sys.setprofile(lambda *_: None),
    "collector": gc.disable,
    "timeout": lambda: socket.setdefaulttimeout(0.001),
    "files": lambda: KEPT.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(1000)),
}
KEPT: list[int] = []
SEEN = {
    **{"chdir": "the working directory", "umask": "the umask", "setrlimit": "resource limits"},
    **{"environ": "the environment", "signal": "signal handlers", "mask": "blocked signals", "alarm": "a timer"},
    **{
        "close stdout": "a closed sys.stdout or sys.stderr",
        "close descriptor 1": "standard output",
        "redirect": "sys.stdout",
    },
    **{"policy": "the event loop's policy", "locale": "the locale", "nice": "the priority"},
    **{"recursion": "the recursion limit", "trace": "a profile function", "collector": "the collector of cycles"},
    **{"timeout": "the default time-out of sockets", "files": "open descriptors"},
}
"""How each is named."""


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: str) -> None:
    reads, writes = os.pipe()
    if not (pid := os.fork()):
        try:
            sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), "w") for fd in (1, 2))  # not pytest's
            before = Leftovers()
            assert before.left() == ""
            CHANGES[change]()
            os.write(writes, before.left().encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as file:
        assert file.read() == SEEN[change]
    os.waitpid(pid, 0)


async def test_who_writes_into_the_channel_ends_his_own_task(children: Children) -> None:
    async def case(garbage: str) -> None:
        text = await Rig(children).fails("writes_to_all_sockets", garbage)
        assert text.startswith("writes_to_all_sockets wrote to descriptors that are not its own")

    await asyncio.gather(*map(case, GARBAGE), Rig(children).is_well())


async def test_who_closes_the_channel_ends_his_own_task_and_his_files_are_whole(rig: Rig, tmp_path: Path) -> None:
    for function in ("closes_descriptors", "puts_files_over_sockets"):
        file = tmp_path / function
        assert await rig.fails(function, str(file)) == f"{function} has closed descriptors that are not its own"
        assert file.read_bytes() == b""


@pytest.mark.parametrize("function", ["leaves_a_process_when_it_is_stopped", "stops_its_parent"])
async def test_a_killed_worker_leaves_nothing_behind(function: str) -> None:
    """The worker here: a process that starts a function and is killed."""
    mark = str(uuid4())
    code = f"""if True:
        import asyncio, uuid
        from shared.worker.children import Children
        from shared.worker.child_protocol import Call
        from shared.worker.log_buffer import LogBuffer

        async def main():
            call = Call({function!r}, uuid.uuid4(), 0, b'"{mark}"', [], 1)
            await Children({PATH!r}).run(call, print, LogBuffer(uuid.uuid4(), 0, print))

        asyncio.run(main())
    """
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    (left,) = await wait_until(lambda: named(mark))
    inner = int(Path(f"/proc/{left}/stat").read_text().rpartition(") ")[2].split()[1])
    outer = int(Path(f"/proc/{inner}/stat").read_text().rpartition(") ")[2].split()[1])
    worker.kill()
    await worker.wait()
    await wait_until(lambda: not any(map(lives, (left, inner, outer))))


async def test_a_signal_that_the_worker_was_started_to_ignore_or_block_is_not_ignored_by_functions() -> None:
    made = Children(PATH)
    try:
        with ignored(signal.SIGINT, signal.SIGTERM):
            assert (await Rig(made).fails("interrupts_itself")).startswith("KeyboardInterrupt")
        with pytest.raises(AttemptLost, match="SIGTERM"):
            await Rig(made).run("ends_itself")
    finally:
        await made.close()


def test_who_kills_the_process_above_loses_his_attempt_and_it_is_named() -> None:
    """On the loop that workers have."""

    async def run() -> None:
        children = Children(PATH)
        try:
            with pytest.raises(AttemptLost, match="was killed by SIGKILL"):
                await Rig(children).run("kills_its_parent")
            await Rig(children).is_well()
        finally:
            await children.close()

    uvloop.run(run())


def test_an_answer_that_is_too_large_for_a_frame_is_named_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of results that it created count, too."""
    monkeypatch.setattr("shared.worker.child.LIMIT", 10_000)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        channel = Channel(theirs.fileno())
        for size in (4_000, 6_000):
            channel.answer(
                1, Returned([bytes(5_000)], Creations(uuid4(), results=[(uuid4(), "", bytes(size))]), "a thread")
            )
            answer = decode_answer(ours.recv(20_000)[HEAD.size :])
            assert isinstance(answer, Returned if size == 4_000 else Raised)
            assert answer.left == "a thread"
    assert isinstance(answer, Raised)
    assert re.match(r"what it returns and creates has 11\d\d\d bytes together; .* at most 10000$", answer.message)
