"""Places that users share: a limit for all and for each, and turns for those who wait."""

import asyncio

from shared.contracts.errors import RateLimited
from shared.runtime.admission import Admission


class Visitors:
    """Who has a place, in the order in which they got it; each stays until `end`."""

    def __init__(self, share: Admission) -> None:
        self.share = share
        self.entered: list[str] = []
        self.refused: list[str] = []
        self._ends: dict[int, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, *users: str) -> None:
        for user in users:
            self.tasks.append(asyncio.create_task(self._stay(user, len(self.tasks))))
        await self.rest()

    async def _stay(self, user: str, number: int) -> None:
        end = self._ends[number] = asyncio.Event()
        try:
            async with self.share.admit(user):
                self.entered.append(user)
                await end.wait()
        except RateLimited as error:
            self.refused.append(error.message)

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self._ends[number].set()
        await self.rest()

    async def rest(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


async def test_one_user_takes_no_more_than_his_share() -> None:
    visitors = Visitors(Admission("lists", most=4, of_one=2))
    await visitors.come("ann", "ann", "ann", "bob")
    assert visitors.entered == ["ann", "ann", "bob"]
    assert visitors.refused == ["at most 2 lists of a user are under way at a time"]
    await visitors.end(0)
    await visitors.come("ann")
    assert visitors.entered == ["ann", "ann", "bob", "ann"]


async def test_all_together_take_no_more_than_there_are() -> None:
    visitors = Visitors(Admission("lists", most=2, of_one=2))
    await visitors.come("ann", "bob", "eve")
    assert visitors.refused == ["2 lists are under way: there is no place for more"]
    await visitors.end(0, 1)
    await visitors.come("eve")
    assert visitors.entered == ["ann", "bob", "eve"]


async def test_who_waits_gets_a_place_in_turn_with_others() -> None:
    visitors = Visitors(Admission("lists", most=2, of_one=2, waiting=3))
    await visitors.come("ann", "ann", "ann", "ann", "ann", "ann", "bob")
    assert visitors.refused == ["at most 2 lists of a user are under way at a time"]
    assert visitors.entered == ["ann", "ann"]
    await visitors.end(0)
    await visitors.end(1)
    assert visitors.entered == ["ann", "ann", "ann", "bob"]


async def test_a_user_at_his_limit_keeps_no_other_waiting() -> None:
    visitors = Visitors(Admission("lists", most=3, of_one=1, waiting=5))
    await visitors.come("ann", "ann", "ann", "bob")
    assert visitors.entered == ["ann", "bob"]


async def test_who_gives_up_leaves_no_trace() -> None:
    share = Admission("lists", most=1, of_one=1, waiting=5)
    visitors = Visitors(share)
    await visitors.come("ann", "bob", "eve")
    visitors.tasks[1].cancel()
    await visitors.rest()
    await visitors.end(0)
    assert visitors.entered == ["ann", "eve"]
    visitors.tasks[2].cancel()
    await visitors.rest()
    assert not share.waiting
    assert not share.running


async def test_who_gives_up_as_his_turn_comes_gives_the_place_on() -> None:
    visitors = Visitors(Admission("lists", most=1, of_one=1, waiting=5))
    await visitors.come("ann", "bob", "eve")
    visitors._ends[0].set()
    while not visitors.tasks[0].done():  # bob's turn is set, he has not run yet
        await asyncio.sleep(0)
    visitors.tasks[1].cancel()
    await visitors.rest()
    assert "eve" in visitors.entered


async def test_who_gives_up_in_the_round_in_which_his_turn_comes_is_only_cancelled() -> None:
    visitors = Visitors(Admission("lists", most=1, of_one=1, waiting=5))
    await visitors.come("ann", "bob", "eve")
    visitors._ends[0].set()  # ann leaves first, and finds bob's turn cancelled
    visitors.tasks[1].cancel()
    await visitors.rest()
    assert visitors.tasks[1].cancelled()
    assert visitors.entered == ["ann", "eve"]
    await visitors.end(2)
    assert not visitors.share.waiting
    assert not visitors.share.running


async def test_whose_patience_ends_in_the_round_in_which_his_turn_comes_is_refused() -> None:
    visitors = Visitors(Admission("lists", most=1, of_one=1, waiting=5, max_wait=0))
    visitors.tasks = [asyncio.create_task(visitors._stay(user, at)) for at, user in enumerate(("ann", "bob"))]
    await asyncio.sleep(0)
    visitors._ends[0].set()
    await visitors.rest()
    assert [each.exception() for each in visitors.tasks] == [None, None]
    assert visitors.entered == ["ann"]
    assert len(visitors.refused) == 1
    assert not visitors.share.waiting


async def test_nobody_waits_for_ever() -> None:
    visitors = Visitors(Admission("lists", most=1, of_one=1, waiting=5, max_wait=0.01))
    await visitors.come("ann", "bob")
    await asyncio.wait([visitors.tasks[1]])
    assert visitors.refused == ["1 lists are under way: there is no place for more"]
    await visitors.end(0)
    await visitors.come("bob")
    assert visitors.entered == ["ann", "bob"]
