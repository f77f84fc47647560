"""`make bench-million`: one session of 1,000,000 tasks that do nothing, and again with 10,000,000 old ones in the tables;
100,000-task sessions paused and cancelled; what a small session gets behind a large one.

A stack of its own, made anew and deleted afterwards. Writes `.headrace/bench/million.json`:

    submit_s            from the first byte of the submission, which is streamed, to its answer
    first_100k_s        from that answer until the client knows 100,000 results by the event stream. No task runs earlier: a
                        submission becomes visible as a whole, so its upload and its tasks never share the machine
    last_100k_s         from the 900,000th known result to the 1,000,000th
    per_100k_s          all ten of them; `cpu_us` says for each what the processes spent on a task, which a busy machine
                        disturbs less
    first_100k_whole_s  the first 100,000, the submission included; total_s, per_s: all of it, the submission included
    scheduler_rss_mib   the most that the scheduler had resident from before the submission until the last result was known
    memory_mib          all processes (see memory.py)
    pause_s, cancel_s   of a session of 100,000 tasks of 10 ms some of which run: until the answer to a look at the session
                        says that nothing of it is queued or runs, or that all of it has ended (`answered_s`: the verb itself)
    with_old            the same with the old tasks there: copies of the first session, vacuumed as autovacuum would have
    fairness            see fairness.py
"""

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console
from rich.table import Table

from deploy.local import postgres, system
from deploy.local.stack import Stack
from shared.client import Headrace
from tests.bench import old, workloads
from tests.bench.compute import burst, cpu, pids
from tests.bench.fairness import fairness
from tests.bench.memory import Memory
from tests.bench.transport import BenchClient
from tests.bench.workloads import independent
from tests.support.wait import wait_until

PART = 100_000
BODY = 64 * 1024
"""Bytes that the client hands over at once."""
HELD = 100_000
"""Tasks of a session that is paused and cancelled."""


async def body(tasks: int) -> AsyncIterator[bytes]:
    """The lines of a submission, as they are needed."""
    line = independent(1)
    block = independent(BODY // len(line))
    for start in range(0, tasks, BODY // len(line)):
        yield block[: (tasks - start) * len(line)]


class Lines:
    """Results of one submission by their lines, a byte each. `marks`: when each `PART` was full, and the CPU time spent by then."""

    def __init__(self, stack: Stack, tasks: int) -> None:
        self._stack = stack
        self._seen = bytearray(tasks)
        self._count = 0
        self.marks: list[tuple[float, dict[str, float]]] = []

    def update(self, results: Iterable[UUID]) -> None:
        for result in results:
            line = (result.int & 0xFFFFFFFF) >> 8
            self._count += not self._seen[line]
            self._seen[line] = 1
        while self._count >= (len(self.marks) + 1) * PART:
            self.marks.append((time.perf_counter(), spent(self._stack)))

    def __len__(self) -> int:
        return self._count


def spent(stack: Stack) -> dict[str, float]:
    """CPU seconds so far, by process."""
    return {name: cpu(pid, name != "client") for name, pid in pids(stack).items()}


def between(before: dict[str, float], after: dict[str, float], tasks: int) -> dict[str, float]:
    """CPU µs a task, of the processes that spent any."""
    each = {name: round((after[name] - before.get(name, 0.0)) / tasks * 1e6, 1) for name in after}
    return {name: value for name, value in each.items() if value >= 0.5}


async def million(stack: Stack, client: Headrace, memory: Memory, tasks: int) -> tuple[dict[str, Any], UUID, UUID]:
    """What was found; the session, closed, and its submission."""
    session = await workloads.session(client)
    lines = Lines(stack, tasks)
    load = os.getloadavg()[0]
    async with memory.watched(), workloads.results(client, session, lines) as results:
        before, began = spent(stack), time.perf_counter()
        submission = await client.tasks.submit(session, body(tasks))
        answered, uploaded = time.perf_counter(), spent(stack)
        await results.all(tasks, timeout=3600)
        ended, after = time.perf_counter(), spent(stack)
        used = memory.all()
    await client.sessions.close(session)
    marks = [(answered, uploaded), *lines.marks]
    parts = [round(second[0] - first[0], 3) for first, second in itertools.pairwise(marks)]
    costs = [between(first[1], second[1], PART) for first, second in itertools.pairwise(marks)]
    found = {
        "tasks": tasks,
        "load_before": load,
        "submit_s": round(answered - began, 3),
        "first_100k_s": parts[0],
        "last_100k_s": parts[-1],
        "scheduler_rss_mib": used["scheduler"]["peak"],
        "first_100k_whole_s": round(marks[1][0] - began, 3),
        "per_100k_s": parts,
        "total_s": round(ended - began, 3),
        "per_s": round(tasks / (ended - began)),
        "cpu_us": {
            "submission": between(before, uploaded, tasks),
            "all": between(before, after, tasks),
            "per_100k": costs,
        },
        "memory_mib": used,
    }
    return found, session, submission.id


async def verbs(stack: Stack, client: Headrace) -> dict[str, Any]:
    """Pause, resume and cancel of a session whose tasks would run for minutes."""
    session = await workloads.session(client, "nap")
    found: dict[str, Any] = {"answered_s": {}, "cpu_s": {}}

    async def timed(verb: str) -> float:
        async def done() -> bool:
            counts = (await client.sessions.get(session)).tasks
            assert counts is not None
            if verb == "pause":
                return counts.queued == counts.running == 0
            return counts.completed + counts.cancelled == counts.total

        before, began = spent(stack), time.perf_counter()
        await getattr(client.sessions, verb)(session)
        found["answered_s"][verb] = round(time.perf_counter() - began, 3)
        after = spent(stack)
        await wait_until(done, timeout=120, every=0.1)
        seconds = time.perf_counter() - began
        used = {name: round(after[name] - before.get(name, 0.0), 2) for name in after}
        found["cpu_s"][verb] = {name: value for name, value in used.items() if value >= 0.05}
        return round(seconds, 3)

    async with workloads.results(client, session) as results:
        await client.tasks.submit(session, body(HELD))
        await results.all(100)
        found["pause_s"] = await timed("pause")
        known, began = len(results), time.perf_counter()
        await client.sessions.resume(session)
        await results.all(known + 1)
        found["resume_s"] = round(time.perf_counter() - began, 3)
        await results.all(known + 100)
        found["cancel_s"] = await timed("cancel")
    began = time.perf_counter()
    await client.sessions.delete(session)
    found["delete_s"] = round(time.perf_counter() - began, 3)
    return found


async def measure(stack: Stack, options: argparse.Namespace) -> dict[str, Any]:
    memory, found = Memory(stack), dict[str, Any]()
    async with BenchClient(stack.http, stack.home.token_file.read_text().strip()) as client:
        await burst(client, independent(2000), 2000)  # connections, plans, the window
        if options.only != "fairness":
            found, session, submission = await million(stack, client, memory, options.tasks)
            found |= await verbs(stack, client)
            if options.old:
                began = time.perf_counter()
                await old.copy_session(stack, session, submission, -(-options.old // options.tasks))
                copied = {"old": options.old, "copied_s": round(time.perf_counter() - began, 1)}
                again, _, _ = await million(stack, client, memory, options.tasks)
                found["with_old"] = copied | again | await verbs(stack, client)
        if options.only != "million":
            found["fairness"] = await fairness(client, lambda: body(options.tasks))
    return found


SHOWN = ("submit_s", "first_100k_s", "last_100k_s", "per_s", "scheduler_rss_mib", "pause_s", "cancel_s")


def show(console: Console, found: dict[str, Any]) -> None:
    table = Table("", *SHOWN, title="Million")
    runs = {"empty tables": found, f"{found.get('with_old', {}).get('old', 0):,} old": found.get("with_old", {})}
    for name, run in runs.items():
        if "tasks" in run:
            table.add_row(name, *(f"{run[key]:,}" for key in SHOWN))
            most = {process: max(one["peak"], one["tree"]) for process, one in run["memory_mib"].items()}
            console.print(f"{name}: load before {run['load_before']:.2f}; each 100,000: {run['per_100k_s']} s")
            console.print(f"CPU µs a task: {run['cpu_us']['all']}; most memory, MiB: {most}")
    console.print(table)
    if "fairness" in found:
        console.print(f"fairness: {found['fairness']}")


async def main() -> None:
    parser = argparse.ArgumentParser(
        prog="make bench-million", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--home", type=Path, default=Path(".headrace/bench"), help="where its own stack is kept meanwhile"
    )
    parser.add_argument("--tasks", type=int, default=1_000_000, help="a multiple of 100,000")
    parser.add_argument(
        "--old", type=int, default=10_000_000, help="old tasks for the second run, 0: none (8 GB for 10,000,000)"
    )
    parser.add_argument("--only", choices=["million", "fairness"], help="half of it")
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    console = Console(width=160 if not sys.stdout.isatty() else None)
    options.home.mkdir(parents=True, exist_ok=True)
    home = options.home / "million"
    if home.exists():
        postgres.wipe(home)
    try:
        async with Stack(home) as stack:
            await system.start(stack, workers=0, slots=options.slots)
            await stack.run(system.worker(stack, "worker-1", app="tests.bench.functions:app", slots=options.slots))
            found = await measure(stack, options)
    finally:
        postgres.wipe(home)
    out = options.home / "million.json"
    out.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    show(console, found)
    console.print(f"written to {out}")


if __name__ == "__main__":
    asyncio.run(main())
