"""Places that users share: whoever asks for much waits for his own, not others for him."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contracts.errors import RateLimited


class Share:
    """`most` places, at most `of_one` of them one user's.

    Who finds none waits, up to `waiting` of a user and for `patience` seconds; a free place goes to the users in turn. Beyond
    that: RateLimited. `what`: what the places are for, in the plural.
    """

    def __init__(self, what: str, *, most: int, of_one: int, waiting: int = 0, patience: float = 10.0) -> None:
        self._what, self._most, self._of_one = what, most, of_one
        self._most_waiting, self._patience = waiting, patience
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """A place for the length of the block."""
        if self._has_room(user):
            self._running[user] += 1
        else:
            await self._wait(user)
        try:
            yield
        finally:
            self._leave(user)

    def _has_room(self, user: str) -> bool:
        return self._running.total() < self._most and self._running[user] < self._of_one

    async def _wait(self, user: str) -> None:
        queue = self._waiting.setdefault(user, deque())
        if len(queue) >= self._most_waiting:
            self._forget(user)
            raise self._refusal(user)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._leave(user)
            else:
                if turn in queue:  # a place that got free at the same moment may have taken it out
                    queue.remove(turn)
                self._forget(user)
            if isinstance(error, TimeoutError):
                raise self._refusal(user) from None
            raise

    def _leave(self, user: str) -> None:
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
        for each in list(self._waiting):
            if self._running.total() >= self._most:
                return
            if self._running[each] < self._of_one:
                self._give(each)

    def _give(self, user: str) -> None:
        queue = self._waiting[user]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                self._running[user] += 1
                turn.set_result(None)
                break
        self._waiting.move_to_end(user)
        self._forget(user)

    def _forget(self, user: str) -> None:
        if user in self._waiting and not self._waiting[user]:
            del self._waiting[user]

    def _refusal(self, user: str) -> RateLimited:
        if self._running[user] >= self._of_one:
            return RateLimited(f"at most {self._of_one} {self._what} of a user are under way at a time")
        return RateLimited(f"{self._most} {self._what} are under way: there is no place for more")
