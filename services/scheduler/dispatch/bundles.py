"""How chosen tasks share messages: many small ones ride in one, slow or unknown ones alone."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

BUNDLE = 50
"""Most tasks in one message."""
BUNDLE_SECONDS = 0.05
"""Most work in one message: what one worker takes, no other can."""
SPLIT_SECONDS = 0.001
"""Work that is not shared out among workers: a second message, and what follows from it, costs more than that."""
WEIGHT = 0.2
"""Weight of the newest measurement in a function's moving average (0 to 1)."""


class Durations(dict[str, float]):
    """Seconds that a task of each function takes: a moving average."""

    def record(self, function: str, seconds: float) -> None:
        """A task of `function` has taken so long."""
        known = self.get(function)
        self[function] = seconds if known is None else known + WEIGHT * (seconds - known)


def bundles(rows: Sequence[Any], workers: int, durations: Mapping[str, float]) -> Iterator[list[Any]]:
    """Splits tasks into the contents of messages, in their order.

    Each bundle holds tasks of one submission and priority, at most `BUNDLE` of them and `BUNDLE_SECONDS` of work by `durations`
    (seconds by function), and leaves every one of the `workers` its share.
    """
    even = max(1, len(rows) // (2 * workers))
    bundle: list[Any] = []
    key: tuple[int, int] | None = None
    room = 0.0
    for row in rows:
        own_key = (family(row["id"]), row["priority"])
        seconds = durations.get(row["function"], BUNDLE_SECONDS)
        has_share = len(bundle) >= even and BUNDLE_SECONDS - room >= SPLIT_SECONDS
        if bundle and (own_key != key or has_share or len(bundle) >= BUNDLE or room < seconds):
            yield bundle
            bundle = []
        if not bundle:
            key, room = own_key, BUNDLE_SECONDS
        bundle.append(row)
        room -= seconds
    if bundle:
        yield bundle


def family(task: UUID) -> int:
    """What the ids of a submission's tasks have in common; cheaper than `ids.submission_of`."""
    return task.int >> 33
