"""`make bench`: the four workloads through the HTTP edge and the real worker, fsync on.

Timed from the first byte of the submission until the client knows every result by the event stream. Writes
`.headrace/bench/compute.json`, prints a table with what else the machine was doing, and every process's CPU time a task.
Then runs the same on the peers (`--no-peers` leaves them out), and prints a table with ratios.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from deploy.local import system
from deploy.local.stack import Stack
from shared.client import Headrace
from tests.bench import workloads
from tests.bench.peers import run as peers
from tests.bench.peers.catalogue import PEERS
from tests.bench.transport import BenchClient

INDEPENDENT, CHAIN, DEPTH, WIDTH, TRIPS = 10_000, 1_000, 100, 50, 100


def cpu(pid: int, children: bool = True) -> float:
    """CPU seconds of a process and, if asked, its children, also those that have ended, as the kernel counts them."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0.0
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total = sum(map(int, fields[11 : 15 if children else 13])) / ticks
        for task in Path(f"/proc/{pid}/task").iterdir() if children else ():
            for child in (task / "children").read_text().split():
                total += cpu(int(child))
    except (FileNotFoundError, ProcessLookupError):
        pass
    return total


def busy() -> float:
    """CPU seconds of everything on this machine."""
    user, nice, system, _idle, _waiting, irq, soft = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def pids(stack: Stack) -> dict[str, int]:
    return {name: process.pid for name, process in stack.processes.items() if process.pid} | {"client": os.getpid()}


async def timed(stack: Stack, run: Callable[[], Awaitable[None]]) -> tuple[float, dict[str, float]]:
    """Seconds, and CPU seconds by process; `others`: what is not ours."""
    machine = busy()
    before = {name: cpu(pid, name != "client") for name, pid in pids(stack).items()}
    began = time.perf_counter()
    await run()
    seconds = time.perf_counter() - began
    spent = {name: cpu(pid, name != "client") - before.get(name, 0.0) for name, pid in pids(stack).items()}
    workers = sum(spent.pop(name) for name in list(spent) if name.startswith("worker"))
    spent["workers"] = workers
    return seconds, {**spent, "others": max(0.0, busy() - machine - sum(spent.values()))}


async def burst(client: Headrace, lines: bytes, count: int) -> None:
    session = await workloads.session(client)
    async with workloads.results(client, session) as results:
        await client.tasks.submit(session, lines)
        await results.all(count)


async def trips(client: BenchClient, count: int) -> list[float]:
    """Milliseconds from submitting one task until its result is known, one after the other."""
    session = await workloads.session(client)
    times = []
    async with workloads.results(client, session) as results:
        for n in range(count):
            began = time.perf_counter()
            await client.submit_one(session)
            await results.all(n + 1)
            times.append((time.perf_counter() - began) * 1e3)
    return times


async def measure(stack: Stack, console: Console, repeats: int) -> dict[str, Any]:
    token = stack.home.token_file.read_text().strip()
    graph, tasks = workloads.layers(DEPTH, WIDTH)
    found: dict[str, Any] = {"load_before": os.getloadavg()[0], "cores": os.cpu_count()}
    async with BenchClient(stack.http, token) as client:
        await burst(client, workloads.independent(2000), 2000)  # connections, plans, the window
        jobs = {
            "independent": (workloads.independent(INDEPENDENT), INDEPENDENT),
            "independent_100k": (workloads.independent(10 * INDEPENDENT), 10 * INDEPENDENT),
            "chain": (workloads.chain(CHAIN), CHAIN),
            "layers": (graph, tasks),
        }
        table = Table("workload", "tasks", "median s", "tasks/s", "best", "CPU µs a task", title="Compute")
        for name, (lines, count) in jobs.items():
            runs = [
                await timed(stack, lambda lines=lines, count=count: burst(client, lines, count)) for _ in range(repeats)
            ]  # type: ignore[misc]
            seconds = statistics.median(run[0] for run in runs)
            spent = min(runs, key=lambda run: run[0])[1]
            each = {key: round(value / count * 1e6, 1) for key, value in spent.items() if value / count > 5e-7}
            found[name] = {"seconds": [round(run[0], 4) for run in runs], "cpu_us": each}
            best = count / min(run[0] for run in runs)
            table.add_row(
                name, f"{count:,}", f"{seconds:.3f}", f"{count / seconds:,.0f}", f"{best:,.0f}",
                ", ".join(f"{key} {value:g}" for key, value in each.items()),
            )  # fmt: skip
        times = sorted([took for _ in range(repeats) for took in await trips(client, TRIPS)])
    median = {name: statistics.median(found[name]["seconds"]) for name in jobs}
    found["independent_per_s"] = round(INDEPENDENT / median["independent"])
    found["independent_100k_per_s"] = round(10 * INDEPENDENT / median["independent_100k"])
    found["chain_ms_per_hop"] = round(median["chain"] / CHAIN * 1e3, 3)
    found["layers_per_s"] = round(tasks / median["layers"])
    found["rtt_ms"] = {"p50": round(times[len(times) // 2], 2), "p99": round(times[int(len(times) * 0.99)], 2)}
    console.print(table)
    console.print(
        f"independent {found['independent_per_s']:,}/s, of 100,000 {found['independent_100k_per_s']:,}/s   chain {found['chain_ms_per_hop']} ms a hop   "
        f"layers {found['layers_per_s']:,}/s   round trip p50 {found['rtt_ms']['p50']} ms, p99 {found['rtt_ms']['p99']} ms"
        f"   load before {found['load_before']:.2f}"
    )
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".headrace/bench"), help="where its own stack is kept")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--schedulers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="do not make their environments, and do not run them")
    options = parser.parse_args()
    console = Console(width=160 if not sys.stdout.isatty() else None)
    options.home.mkdir(parents=True, exist_ok=True)
    async with Stack(options.home / "stack") as stack:
        await system.start(stack, workers=options.workers, slots=options.slots, schedulers=options.schedulers)
        found = await measure(stack, console, options.repeats)
    out = options.home / "compute.json"
    out.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    console.print(f"written to {out}")
    if not options.no_peers:
        await peers.compare(options.home, PEERS, options.repeats, console)
