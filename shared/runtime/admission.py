"""Admits a limited number of requests at once, shared among users so that one who asks for many makes only himself wait."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contracts.errors import RateLimited


class Admission:
    """At most `most` requests run at once, at most `of_one` of them one user's; those that wait are admitted user by user.

    what              what the requests are, in the plural, for the text of the error
    waiting           how many requests of one user may wait; RateLimited beyond that
    max_wait          seconds after which a request that waits gets RateLimited
    running, waiting  (attributes) requests by user, those admitted and those that wait; both empty when nothing goes on
    """

    def __init__(self, what: str, *, most: int, of_one: int, waiting: int = 0, max_wait: float = 10.0) -> None:
        self._what, self._most, self._of_one = what, most, of_one
        self._most_waiting, self._max_wait = waiting, max_wait
        self.running: Counter[str] = Counter()
        self.waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def admit(self, user: str) -> AsyncIterator[None]:
        """Admits a request for the length of the block, once there is room. RateLimited if there is none in time."""
        if self._is_free(user):
            self.running[user] += 1
        else:
            await self._wait(user)
        try:
            yield
        finally:
            self._release(user)

    def _is_free(self, user: str) -> bool:
        return self.running.total() < self._most and self.running[user] < self._of_one

    async def _wait(self, user: str) -> None:
        queue = self.waiting.setdefault(user, deque())
        if len(queue) >= self._most_waiting:
            self._forget(user)
            raise self._refusal(user)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            async with asyncio.timeout(self._max_wait):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came at the same moment
                self._release(user)
            else:
                if turn in queue:  # a place that got free at the same moment may have taken it out
                    queue.remove(turn)
                self._forget(user)
            if isinstance(error, TimeoutError):
                raise self._refusal(user) from None
            raise

    def _release(self, user: str) -> None:
        self.running[user] -= 1
        if not self.running[user]:
            del self.running[user]
        for each in list(self.waiting):
            if self.running.total() >= self._most:
                return
            if self.running[each] < self._of_one:
                self._admit_next(each)

    def _admit_next(self, user: str) -> None:
        queue = self.waiting[user]
        while queue:
            turn = queue.popleft()
            if not turn.done():
                self.running[user] += 1
                turn.set_result(None)
                break
        self.waiting.move_to_end(user)
        self._forget(user)

    def _forget(self, user: str) -> None:
        if user in self.waiting and not self.waiting[user]:
            del self.waiting[user]

    def _refusal(self, user: str) -> RateLimited:
        if self.running[user] >= self._of_one:
            return RateLimited(f"at most {self._of_one} {self._what} of a user are under way at a time")
        return RateLimited(f"{self._most} {self._what} are under way: there is no place for more")
