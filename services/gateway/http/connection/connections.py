"""All connections of clients: which are admitted, and which have been idle for too long."""

from collections import Counter
from typing import Protocol

from services.gateway.http.connection.limits import Limits, TooManyConnections


class Closable(Protocol):
    """A connection, admitted or not."""

    def give_up(self) -> None:
        """Closes it at once, to make room for another one."""
        ...

    def check(self, now: float) -> None:
        """Ends it if it is over a time limit."""
        ...


class Connection(Closable, Protocol):
    """A connection that may be admitted. `address`: the client's."""

    address: str

    def idle_since(self) -> float | None:
        """The time, on the loop's clock, since which no request is under way on it; None while one is."""
        ...


class Unadmitted:
    """Connections that are not admitted: in a TLS handshake, or refused. At most `most`: the newest closes the oldest."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: dict[Closable, None] = {}

    def __len__(self) -> int:
        return len(self._all)

    def add(self, one: Closable) -> None:
        if len(self._all) >= self._most:
            oldest = next(iter(self._all))
            self.remove(oldest)
            oldest.give_up()
        self._all[one] = None

    def remove(self, one: Closable) -> None:
        self._all.pop(one, None)

    def check(self, now: float) -> None:
        for one in list(self._all):
            one.check(now)


class Connections:
    """Admits as many connections as the limits allow. When there is no room, a newcomer closes the one that is idle for longest."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.unadmitted = Unadmitted(limits.unadmitted)
        self._all: set[Connection] = set()
        self._of: Counter[str] = Counter()
        self._idle: list[Connection] = []
        self._all_busy: set[str] = set()

    def __len__(self) -> int:
        return len(self._all)

    def add(self, new: Connection) -> None:
        """Admits a connection. Raises TooManyConnections if all others have a request under way."""
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
        self.unadmitted.remove(one)
        if one in self._all:
            self._all.discard(one)
            self._of[one.address] -= 1
            if not self._of[one.address]:
                del self._of[one.address]

    def check(self, now: float) -> None:
        """Ends what is over a time limit."""
        self._all_busy.clear()
        self.unadmitted.check(now)
        for one in list(self._all):
            one.check(now)

    def _make_room(self, address: str) -> bool:
        """Closes the connection that is idle for longest, of this address if it is not empty; False if none is idle."""
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
