"""All connections of clients: who gets a place, and who has had it for too long without using it."""

from collections import Counter
from typing import Protocol

from services.gateway.limits import Limits, TooManyConnections


class Connection(Protocol):
    """One client's connection."""

    address: str

    def idle_since(self) -> float | None:
        """Since when no request is under way on it, on the loop's clock; None: one is."""
        ...

    def give_up(self) -> None:
        """Closes it for somebody else."""
        ...

    def check(self, now: float) -> None:
        """Ends it if it is over a time limit."""
        ...


class Connections:
    """The places. When all are taken, whoever waits longest without a request under way loses his to the newcomer."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._all: set[Connection] = set()
        self._of: Counter[str] = Counter()
        self._idle: list[Connection] = []

    def __len__(self) -> int:
        return len(self._all)

    def add(self, new: Connection) -> None:
        """Raises TooManyConnections if there is no place for it."""
        most = self.limits
        if len(self._all) >= most.connections and not self._make_room(""):
            raise TooManyConnections(f"all {most.connections} connections are in use")
        if self._of[new.address] >= most.address_connections and not self._make_room(new.address):
            raise TooManyConnections(f"all {most.address_connections} connections of one address are in use")
        self._all.add(new)
        self._of[new.address] += 1

    def remove(self, one: Connection) -> None:
        if one in self._all:
            self._all.discard(one)
            self._of[one.address] -= 1
            if not self._of[one.address]:
                del self._of[one.address]

    def check(self, now: float) -> None:
        """Ends what is over a time limit."""
        for one in list(self._all):
            one.check(now)

    def _make_room(self, address: str) -> bool:
        """Closes the connection that is idle for longest, of this address if one is named."""
        if self._close_one(address):
            return True
        # Made seldom: a flood of newcomers must not cost a look at everybody each.
        idle = [(since, id(one), one) for one in self._all if (since := one.idle_since()) is not None]
        self._idle = [one for _, _, one in sorted(idle, reverse=True)]
        return self._close_one(address)

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
