"""A limited number of places, shared among users so that one who asks for many makes only himself wait."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.contracts.errors import RateLimited


class Share:
    """`most` places, of which one user has at most `of_one`; a free place goes to the waiting users in turn.

    what              what the places are for, in the plural: a word of the error's text
    waiting           how many of one user may wait for a place; RateLimited beyond that
    patience          seconds after which one that waits gets RateLimited
    running, waiting  (attributes) places taken by user, and who waits by user; both empty when nothing goes on
    """

    def __init__(self, what: str, *, most: int, of_one: int, waiting: int = 0, patience: float = 10.0) -> None:
        self._what, self._most, self._of_one = what, most, of_one
        self._most_waiting, self._patience = waiting, patience
        self.running: Counter[str] = Counter()
        self.waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, user: str) -> AsyncIterator[None]:
        """Takes a place for the block; waits for it. RateLimited if there is none in time."""
        if self._has_room(user):
            self.running[user] += 1
        else:
            await self._wait(user)
        try:
            yield
        finally:
            self._free_place(user)

    def _has_room(self, user: str) -> bool:
        return self.running.total() < self._most and self.running[user] < self._of_one

    async def _wait(self, user: str) -> None:
        queue = self.waiting.setdefault(user, deque())
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
                self._free_place(user)
            else:
                if turn in queue:  # a place that got free at the same moment may have taken it out
                    queue.remove(turn)
                self._forget(user)
            if isinstance(error, TimeoutError):
                raise self._refusal(user) from None
            raise

    def _free_place(self, user: str) -> None:
        self.running[user] -= 1
        if not self.running[user]:
            del self.running[user]
        for each in list(self.waiting):
            if self.running.total() >= self._most:
                return
            if self.running[each] < self._of_one:
                self._assign_place(each)

    def _assign_place(self, user: str) -> None:
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
