"""All behaviours of tests/behaviours among healthy tasks, on a real worker that is started again when one has ended it.

In `make test` a fixed sample without those that end the worker; in `make soak` all of them among 5,000, in another order each time.
"""

import asyncio
import os
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import msgspec
import pytest

from shared.contracts.ids import result_id, task_id
from shared.contracts.states import TaskStatus
from tests.support.behaviours.case import Case
from tests.support.behaviours.mixed import CASES, PATH
from tests.support.chaos.run import Run, running
from tests.support.edge import Edge
from tests.support.processes import Processes

SOAK = bool(os.environ.get("HEADRACE_SOAK"))
SLOTS = 8
HEALTHY, TIMES, LIMIT = (5_000, 3, 1800.0) if SOAK else (300, 1, 120.0)
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(2 * LIMIT)]
PARTITION, WORKER = "behaviours", "worker-behaviours"
ENDS = {"completed": TaskStatus.COMPLETED, "timeout": TaskStatus.TIMEOUT}

POWERS = {"square": lambda n: b"%d" % n**2, "cube": lambda n: b"%d" % n**3}
"""What the healthy ones return."""

Line = tuple[str, int, Case | None]
"""The function, a number, and what becomes of it; None: it is healthy."""


def mixture(seed: str) -> list[Line]:
    lines: list[Line] = [("cube" if number % 5 == 0 else "square", number, None) for number in range(HEALTHY)]
    for function, case in CASES:
        times = (0 if not SOAK else 1) if case.fatal else TIMES
        lines += [(function, number, case) for number in range(times)]
    random.Random(seed).shuffle(lines)
    return lines


def encoded(line: Line) -> bytes:
    function, number, case = line
    options: dict[str, object] = {"function": function, "partition": PARTITION}
    # A healthy one may be lost as often as another ends its worker. One that does that, or is lost anyway, is not tried again.
    options["max_retries"] = 100 if case is None else 0 if case.ends == "lost" else 20
    if case is not None and case.max_duration:
        options["max_duration"] = case.max_duration
    payload = msgspec.Raw(case.payload if case is not None else b"%d" % number)
    return msgspec.json.encode({"payload": payload, "options": options})


async def test_healthy_tasks_do_not_notice_the_others(
    system: Processes, edge: Edge, counted: Callable[[str], None]
) -> None:
    seed = secrets.token_hex(4) if SOAK else "fixed"
    print(f"seed {seed}")
    lines = mixture(seed)
    answer = await edge.ask("POST", "/compute/v1/partitions", json={"name": PARTITION})
    assert answer.status_code in (201, 409), answer.text
    await system.start_worker(WORKER, app=PATH, slots=SLOTS, partition=PARTITION, commands=True)
    restarts = asyncio.create_task(system.keep_running(WORKER))
    began = time.monotonic()
    try:
        async with running(system, edge, b"\n".join(map(encoded, lines)), partitions=[PARTITION]) as run:
            await system.wait_until(
                lambda: len(run.received.completed) + len(run.received.failed) >= len(lines),
                timeout=LIMIT,
                on_timeout=lambda: left(run, lines),
            )
            seconds = time.monotonic() - began
            await compare(run, lines)
    finally:
        restarts.cancel()
        await asyncio.wait([restarts])
    await system.stop(WORKER)
    odd = len(lines) - HEALTHY
    counted(
        f"behaviours: {odd} among {HEALTHY} healthy tasks in {seconds:.0f} s; the worker was started again {system.restarts[WORKER]} times"
    )


async def left(run: Run, lines: list[Line]) -> str:
    rows = await run.fetch("SELECT id, status, attempt FROM tasks WHERE session = $1", run.session)
    open_ = [row for row in rows if row["status"] not in {6, 7, 8, 9, 12}]
    names = {task_id(run.submission.id, line): one[0] for line, one in enumerate(lines)}
    return f"{[(names[row['id']], row['status'], row['attempt']) for row in open_[:20]]} of {len(open_)}\n{run.system.tails()}"


async def compare(run: Run, lines: list[Line]) -> None:
    """Every healthy task has completed, once, with its value and its own log; every other one has ended as its row says."""
    tasks = await run.fetch("SELECT id, status, error FROM tasks WHERE session = $1", run.session)
    results = await run.fetch("SELECT id, data, size FROM results WHERE session = $1", run.session)
    logs = await run.fetch(
        "SELECT l.task, l.text FROM task_logs l JOIN tasks t ON t.id = l.task WHERE t.session = $1", run.session
    )
    found = {row["id"]: row for row in tasks}
    values = {row["id"]: row["data"] for row in results}
    printed: dict[UUID, str] = {}
    for row in logs:
        printed[row["task"]] = printed.get(row["task"], "") + row["text"]
    wrong = []
    for number, (function, n, case) in enumerate(lines):
        id, result = task_id(run.submission.id, number), result_id(run.submission.id, number, 0)
        row = found[id]
        received = TaskStatus(row["status"]), row["error"], values.get(result), printed.get(id, "")
        if case is None:
            fine = (
                received[0] == TaskStatus.COMPLETED
                and received[2] == POWERS[function](n)
                and set(received[3].split()) == {str(n)}
            )
        else:
            fine = received[0] == ENDS.get(case.ends, TaskStatus.ERROR) and (
                case.ends == "lost" or bool(re.search(case.text, row["error"] or "", re.S))
            )
        if not fine:
            wrong.append((function, n, *received))
    assert not wrong, f"{len(wrong)} are wrong: {wrong[:10]}"
    assert set(Counter(run.received.completed).values()) == {1}
