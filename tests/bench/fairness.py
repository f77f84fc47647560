"""What a small session gets behind a large one, with tasks of 10 ms: when its first task has ended, and when its last.

alone_s             100 tasks with nothing else there: from the first byte of the submission until all results are known
first_s, last_s     the same 100 behind the large session, of equal priority: until the first result, until all
ratio               last_s / alone_s
cold_s              last_s right after a burst of tasks that do nothing, by whose pace the window is still long
priority            `tasks` behind the large session: alone, at its priority, at a higher one
runs                all first_s and last_s: the figures above are medians, but for the worst ones, which say so
cancel_s, delete_s  of the large session
"""

import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from shared.client import Headrace
from tests.bench import workloads
from tests.bench.compute import burst
from tests.bench.workloads import independent

SMALL, MORE = 100, 1_000
RUNS = 5
EQUAL, HIGHER = 1, 50


async def timed(client: Headrace, tasks: int, priority: int = EQUAL) -> tuple[float, float]:
    """Seconds until the first result is known, until all are."""
    session = await workloads.session(client, "nap", priority)
    async with workloads.results(client, session) as results:
        began = time.perf_counter()
        await client.tasks.submit(session, independent(tasks))
        await results.all(1)
        first = time.perf_counter() - began
        await results.all(tasks)
        last = time.perf_counter() - began
    await client.sessions.close(session)
    return round(first, 3), round(last, 3)


async def fairness(client: Headrace, large: Callable[[], AsyncIterator[bytes]]) -> dict[str, Any]:
    """`large`: the body of the large submission."""
    alone = [await timed(client, SMALL) for _ in range(RUNS)]
    more_alone = await timed(client, MORE)
    await burst(client, independent(20_000), 20_000)
    ahead = await workloads.session(client, "nap", EQUAL)
    async with workloads.results(client, ahead) as results:
        await client.tasks.submit(ahead, large())
        await results.all(1)
        cold = await timed(client, SMALL)
        behind = [await timed(client, SMALL) for _ in range(RUNS)]
        marks = [len(results)]
        equal = await timed(client, MORE)
        marks.append(len(results))
        higher = await timed(client, MORE, HIGHER)
        marks.append(len(results))
    began = time.perf_counter()
    await client.sessions.cancel(ahead)
    cancelled = time.perf_counter()
    await client.sessions.delete(ahead)
    alone_s, last_s = (statistics.median(last for _, last in runs) for runs in (alone, behind))
    return {
        "alone_s": alone_s,
        "first_s": statistics.median(first for first, _ in behind),
        "last_s": last_s,
        "ratio": round(last_s / alone_s, 2),
        "worst_first_s": max(first for first, _ in behind),
        "worst_last_s": max(last for _, last in behind),
        "cold_s": cold[1],
        "priority": {
            "tasks": MORE,
            "alone_s": more_alone[1],
            "equal_s": equal[1],
            "equal_beside": marks[1] - marks[0],
            "higher_s": higher[1],
            "higher_beside": marks[2] - marks[1],
        },
        "runs": {"alone": alone, "cold": cold, "behind": behind, "equal": equal, "higher": higher},
        "cancel_s": round(cancelled - began, 3),
        "delete_s": round(time.perf_counter() - cancelled, 3),
    }
