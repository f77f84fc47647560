"""All connections of clients: who gets a place, and who has had it for too long without using it."""

from collections import Counter
from typing import Protocol

from services.gateway.http.connection.limits import Limits, TooManyConnections


class Outsider(Protocol):
    """A connection that may have no place."""

    def give_up(self) -> None:
        """Closes it for somebody else."""
        ...

    def check(self, now: float) -> None:
        """Ends it if it is over a time limit."""
        ...


class Connection(Outsider, Protocol):
    """One client's connection."""

    address: str

    def idle_since(self) -> float | None:
        """Since when no request is under way on it, on the loop's clock; None: one is."""
        ...


class Outside:
    """Connections without a place, at most `most`: the newest closes the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: dict[Outsider, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, one: Outsider) -> None:
        if len(self._all) >= self._most:
            oldest = next(iter(self._all))
            self.remove(oldest)
            oldest.give_up()
        self._all[one] = None

    def remove(self, one: Outsider) -> None:
        self._all.pop(one, None)

    def check(self, now: float) -> None:
        for one in list(self._all):
            one.check(now)


class Connections:
    """The places. When all are taken, whoever waits longest without a request under way loses his to the newcomer."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.outside = Outside(limits.outside)
        self._all: set[Connection] = set()
        self._of: Counter[str] = Counter()
        self._idle: list[Connection] = []
        self._all_busy: set[str] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, new: Connection) -> None:
        """Raises TooManyConnections if there is no place for it."""
        most = self.limits
        crowded = self._of[new.address] >= most.address_connections
        if crowded and not self._make_room(new.address):
            raise TooManyConnections(f"all {most.address_connections} connections of one address are in use")
        full = len(self._all) >= most.connections
        if full and not self._make_room(""):
            raise TooManyConnections(f"all {most.connections} connections are in use")
        self._all.add(new)
        self._of[new.address] += 1
        if full or crowded:  # for the place of one of those: so the newcomers alone need no new look at everybody
            self._idle.insert(0, new)

    def remove(self, one: Connection) -> None:
        self.outside.remove(one)
        if one in self._all:
            self._all.discard(one)
            self._of[one.address] -= 1
            if not self._of[one.address]:
                del self._of[one.address]

    def check(self, now: float) -> None:
        """Ends what is over a time limit."""
        self._all_busy.clear()
        self.outside.check(now)
        for one in list(self._all):
            one.check(now)

    def _make_room(self, address: str) -> bool:
        """Closes the connection that is idle for longest, of this address if one is named."""
        if address in self._all_busy:  # so it was at the last look, and there is one between two checks
            return False
        if self._close_one(address):
            return True
        # Made seldom: a flood of newcomers must not cost a look at everybody each.
        idle = [(since, id(one), one) for one in self._all if (since := one.idle_since()) is not None]
        self._idle = [one for _, _, one in sorted(idle, reverse=True)]
        if self._close_one(address):
            return True
        self._all_busy.add(address)
        return False

    def _close_one(self, address: str) -> bool:
        for at in range(len(self._idle) - 1, -1, -1):
            one = self._idle[at]
            if address and one.address != address:
                continue
            del self._idle[at]
            if one in self._all and one.idle_since() is not None:
                self.remove(one)
                one.give_up()
                return True
        return False
