"""Results waited for, request after request, with a word about how many have ended."""

import sys
import time
from typing import Any

from shared.client.cli.api import ROOT, Api
from shared.client.cli.bars import Tell
from shared.client.cli.steady import Steady

PORTION = 1000
"""Results that one request takes."""
WATCHED, UNWATCHED = 2.0, 30.0
"""Seconds after which a request answers in any case: soon where somebody looks at the bar."""


def wait(api: Api, results: list[str], *, any: bool, timeout: float | None, tell: Tell) -> dict[str, str]:
    """The states of the results, when they have ended (`any`: one of them), or when the time is over."""
    steady, states = Steady(api), dict[str, str]()
    left = list(results)
    end = None if timeout is None else time.monotonic() + timeout
    longest = WATCHED if sys.stderr.isatty() else UNWATCHED
    while True:
        rest = longest if end is None else max(0.0, min(longest, end - time.monotonic()))
        asked: dict[str, Any] = {"results": left[:PORTION], "any": any, "timeout": round(rest, 3)}
        answer = steady.post(f"{ROOT}/results/wait", asked)
        states |= answer["states"]
        left = [*answer["open"], *left[PORTION:]]
        tell("", done=len(results) - len(left), total=len(results))
        if not left or (any and answer["done"]) or (end is not None and time.monotonic() >= end):
            return {name: states.get(name, "created") for name in results}
        if any and len(left) > PORTION:  # the others are looked at in turn
            left = left[PORTION:] + left[:PORTION]
