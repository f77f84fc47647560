"""Blocking functions that do harm: each ends as itself, with its own state and text, and nobody else notices."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from shared.contracts.work import Logged
from shared.worker.children import Children, Lost
from shared.worker.describe import TaskError
from shared.worker.frames import ANSWER, HEAD, Call
from shared.worker.leftovers import Leftovers
from shared.worker.printed import Printed
from tests.support.wait import wait_until
from tests.unit import blocking_functions as functions

GARBAGE = "garbage\n", "g" * 4096, HEAD.pack(7, ANSWER, 2**32 - 1).decode("latin-1"), "\0" * 12, "\0" * 13


class Rig:
    """`stages`: progress of the last task; `text`: what it printed."""

    def __init__(self, children: Children) -> None:
        self.children = children
        self.stages: list[tuple[float, str]] = []
        self.text = ""

    async def run(self, function: str, payload: Any = None) -> Any:
        self.stages, logged = [], list[Logged]()
        printed = Printed(uuid4(), 0, logged.append)
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
        """Whoever comes next gets its own answer, from a process as it should be."""
        for _ in range(2):
            mark = str(uuid4())
            assert await self.run("echo", mark) == mark
            assert (self.stages, self.text) == ([], "")


@pytest.fixture(scope="module")
async def children() -> AsyncIterator[Children]:
    made = Children(functions.PATH)
    yield made
    await made.close()


@pytest.fixture
async def rig(children: Children) -> AsyncIterator[Rig]:
    rig = Rig(children)
    yield rig
    await rig.is_well()


async def together(children: Children, *cases: Coroutine[Any, Any, None]) -> None:
    """Each is the others' neighbour, and one is well all the time."""
    await asyncio.gather(*cases, Rig(children).is_well())


COPIES = "fork_returns", "fork_raises", "pty_returns", "c_fork_returns", "c_fork_lives", "fork_in_a_thread"


async def test_only_the_process_that_was_called_answers(children: Children) -> None:
    """Of a function that forks, whose copy returns, raises or reports as well."""

    async def case(function: str) -> None:
        rig = Rig(children)
        assert await rig.run(function) == "original"
        assert rig.stages == []
        await rig.is_well()

    await together(children, *map(case, COPIES))


async def test_a_process_of_multiprocessing_is_no_harm(rig: Rig) -> None:
    await rig.run("echo")
    idle = set(rig.children._idle)
    assert await rig.run("process_of_multiprocessing") == "original"
    assert rig.text == "in the process\n"
    assert set(rig.children._idle) == idle


async def test_every_exception_is_the_tasks_error_and_is_named(rig: Rig) -> None:
    assert re.fullmatch(r"SystemExit: 3 \(blocking_functions\.py:\d+\)", await rig.fails("exits", 3))
    for function, text in {
        "raises_bare": "Bare: not an Exception",
        "interrupts": "KeyboardInterrupt",
        "runs_out_of_memory": "MemoryError",
        "raises_mute": "Mute: (no text: its __str__ raised RuntimeError)",
        "raises_endless": "Endless: (no text: its __str__ raised RecursionError)",
        "raises_surrogates": "ValueError: cannot read caf",
        "recurses": "RecursionError",
        "yields": "return value",
        "awaits_nothing": "return value",
    }.items():
        assert text in await rig.fails(function)
    assert "KeyboardInterrupt" in await rig.fails("signals_itself", "SIGINT")
    assert "in signals_itself" in rig.text, "the traceback, from the function on"
    assert "shared/worker" not in rig.text


DEATHS = (
    ("segfaults", None, "was killed by SIGSEGV (status -11)"),
    ("aborts", None, "was killed by SIGABRT (status -6)"),
    ("leaves", None, "ended with status 0"),
    ("replaces_itself", None, "ended with status 0"),
    ("signals_itself", "SIGTERM", "was killed by SIGTERM (status -15)"),
    ("signals_its_group", None, "was killed by SIGKILL (status -9)"),
    ("signals_its_parent", "SIGKILL", "was killed by SIGKILL (status -9)"),
)


async def test_a_process_that_dies_is_a_lost_attempt_and_how_is_said(children: Children) -> None:
    async def case(function: str, payload: Any, text: str) -> None:
        with pytest.raises(Lost) as lost:
            await Rig(children).run(function, payload)
        assert str(lost.value) == f"the process that ran it {text}"

    await together(children, *(case(*each) for each in DEATHS))


async def test_a_stopped_process_is_killed_with_its_task(rig: Rig) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await rig.run("signals_itself", "SIGSTOP")


async def test_what_came_of_a_task_ends_with_it(rig: Rig) -> None:
    """Whatever session it is in, and whether the task completes or is cancelled."""
    for function, hangs in (("leaves_a_process", False), ("leaves_a_daemon", False), ("leaves_a_process", True)):
        mark = str(uuid4())
        running = asyncio.create_task(rig.run(function, {"mark": mark, "hangs": hangs}))
        if hangs:
            await wait_until(lambda mark=mark: functions.named(mark))
            running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert await running == "done"
        assert functions.named(mark) == []


async def test_a_thread_that_goes_on_is_not_heard_by_the_next_task(rig: Rig) -> None:
    assert await rig.run("leaves_a_thread") == "done"
    assert rig.text.count("left over\n") < 100


async def test_progress_from_threads_and_a_large_value_do_not_mix(rig: Rig) -> None:
    assert await rig.run("reports_from_a_thread") == bytes(5_000_000)
    assert rig.stages
    assert set(rig.stages) == {(0.5, "x" * 300)}


async def test_who_reports_without_end_leaves_the_loop_to_others(rig: Rig) -> None:
    running = asyncio.create_task(rig.run("reports_without_end"))
    await wait_until(lambda: rig.stages)
    assert await asyncio.wait_for(rig.run("echo", 1), 20) == 1
    running.cancel()
    await asyncio.wait([running])


async def test_what_a_function_changes_of_its_process_no_other_finds(rig: Rig) -> None:
    before = await rig.run("state")
    assert await rig.run("changes", "chdir") == "done"
    after = await rig.run("state")
    assert after[:-1] == before[:-1]
    assert after[-1] != before[-1], "another process"


@pytest.mark.parametrize("change", functions.CHANGES)
def test_a_change_is_seen(change: str) -> None:
    reads, writes = os.pipe()
    if not (pid := os.fork()):
        try:
            sys.stdout, sys.stderr = (os.fdopen(os.dup(fd), "w") for fd in (1, 2))  # not pytest's
            before = Leftovers()
            assert before.left() == ""
            functions.CHANGES[change]()
            os.write(writes, before.left().encode())
        finally:
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads, encoding="utf-8") as file:
        assert file.read() == functions.SEEN[change]
    os.waitpid(pid, 0)


async def test_who_writes_into_the_channel_ends_his_own_task(children: Children) -> None:
    async def case(garbage: str) -> None:
        rig = Rig(children)
        text = await rig.fails("writes_anywhere", garbage)
        assert text.startswith("writes_anywhere wrote to descriptors that are not its own")

    await together(children, *map(case, GARBAGE))


async def test_who_closes_the_channel_ends_his_own_task_and_his_files_are_whole(rig: Rig, tmp_path: Path) -> None:
    for function in ("closes_descriptors", "puts_a_file_there"):
        file = tmp_path / function
        assert await rig.fails(function, str(file)) == f"{function} has closed descriptors that are not its own"
        assert file.read_bytes() == b""


async def test_a_sub_process_has_no_descriptors_of_ours(rig: Rig) -> None:
    seen = await rig.run("lists_descriptors")
    assert not [name for name in seen if name.startswith("socket:")]
    assert await rig.run("reads_its_input") == ""


async def test_a_value_has_a_bound(rig: Rig) -> None:
    text = await rig.fails("returns_much", 2**28 + 1)
    assert text == "returns_much: return value: 268435457 bytes; a blocking function returns at most 268435456"


async def test_output_without_a_newline_is_cut_and_the_rest_is_not_kept(rig: Rig) -> None:
    assert await rig.run("prints_without_newline", 20) == "done"
    assert rig.text.endswith("bytes more were not kept\n")
