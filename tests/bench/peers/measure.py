"""What the peers' scripts share: the arguments, the timing, the answer.

Imported inside each peer's environment: nothing but the standard library here.
"""

import argparse
import json
import time
from collections.abc import Callable

WARM = 500
"""Tasks before the first that are timed: connections, processes, imports."""


def arguments(**more: str) -> argparse.Namespace:
    """The counts of the four workloads; `more`: options of one peer and what they are for."""
    parser = argparse.ArgumentParser()
    for name in ("independent", "chain", "depth", "width", "trips", "repeats"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name, help_ in more.items():
        parser.add_argument(f"--{name}", required=True, help=help_)
    return parser.parse_args()


def measure(
    options: argparse.Namespace,
    *,
    independent: Callable[[int], int],
    chain: Callable[[int], int],
    layers: Callable[[int, int], int],
    one: Callable[[], int],
) -> None:
    """Runs the four workloads and prints what they took: `{"seconds": {workload: […]}, "trips_ms": […]}`.

    Each of the functions submits its tasks, waits until the client has every result, and returns how many those are.
    """
    jobs = {
        "independent": (lambda: independent(options.independent), options.independent),
        "chain": (lambda: chain(options.chain), options.chain),
        "layers": (lambda: layers(options.depth, options.width), options.depth * (options.width + 1)),
    }
    _timed(lambda: independent(WARM), WARM)
    seconds = {name: [_timed(run, count) for _ in range(options.repeats)] for name, (run, count) in jobs.items()}
    trips = [_timed(one, 1) * 1e3 for _ in range(options.repeats * options.trips)]
    print(json.dumps({"seconds": seconds, "trips_ms": trips}), flush=True)


def _timed(run: Callable[[], int], count: int) -> float:
    began = time.perf_counter()
    known = run()
    seconds = time.perf_counter() - began
    if known != count:
        raise RuntimeError(f"{count} tasks were submitted, and the client knows {known} results")
    return seconds
