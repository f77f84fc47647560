"""Time, injected, so that tests own it. Statements take `coalesce($now, now())`."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of the time; tests give their own."""

    def now(self) -> datetime:
        """The time of day, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


def rfc3339(moment: datetime) -> str:
    """A time on the wire: UTC, microseconds, `Z`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_or_none(moment: datetime | None) -> str | None:
    """`rfc3339`, of something that may not have happened."""
    return None if moment is None else rfc3339(moment)
