"""Waiting for results, request after request."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from shared.client.http import Http
from shared.client.paths import COMPUTE

PORTION: Final = 1000
"""Results that one request names."""
LONGEST: Final = 30.0
"""Seconds after which a request answers in any case."""


async def wait_for_results(
    http: Http,
    results: Sequence[str],
    *,
    any: bool = False,
    timeout: float | None = None,
    longest: float = LONGEST,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, str]:
    """The state of each result, when all have ended (`any`: one of them), or when `timeout` seconds have passed.

    `longest`: seconds of one request, at most 30. `progress` is called with how many have ended.
    """
    states: dict[str, str] = {}
    left = list(results)
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        seconds = longest if end is None else max(0.0, min(longest, end - time.monotonic()))
        asked: dict[str, Any] = {"results": left[:PORTION], "any": any, "timeout": round(seconds, 3)}
        reply = await http.post(f"{COMPUTE}/results/wait", asked)
        states |= reply["states"]
        left = [*reply["open"], *left[PORTION:]]
        progress(len(results) - len(left))
        if not left or (any and reply["done"]) or (end is not None and time.monotonic() >= end):
            return {name: states.get(name, "created") for name in results}
        if any and len(left) > PORTION:  # the others are looked at in turn
            left = left[PORTION:] + left[:PORTION]
