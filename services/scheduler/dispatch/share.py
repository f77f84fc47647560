"""How credit is shared among those whose tasks wait: by user, then by priority, then by session.

Credit comes one task at a time when tasks are slow, so a share of what there is now would go to the same one again and again. So it
is kept who was given how much lately, among those that have waited since: who has had least comes first.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import msgspec

K = TypeVar("K", bound=Hashable)


class Lane(msgspec.Struct, frozen=True):
    """Tasks of one session and priority that wait. `waiting`: how many, at most. `source`: what the caller knows of them."""

    priority: int
    session: UUID
    waiting: int
    source: Mapping[str, Any] | None = None
    owner: str = ""


def level(credit: int, needs: Mapping[K, int], given: Mapping[K, int]) -> dict[K, int]:
    """Shares `credit` so that what each has had, with what he had before (`given`), is as level as can be. Nobody gets more than he needs."""

    def below(line: int) -> dict[K, int]:
        return {key: min(need, max(0, line - given.get(key, 0))) for key, need in needs.items()}

    credit = min(credit, sum(needs.values()))
    low, high = 0, max(given.get(key, 0) + need for key, need in needs.items())
    while low < high:  # the lowest line under which all the credit has room
        line = (low + high) // 2
        low, high = (low, line) if sum(below(line).values()) >= credit else (line + 1, high)
    taken, most = below(low - 1), below(low)
    left = credit - sum(taken.values())
    for key in needs:
        if left and taken[key] < most[key]:
            taken[key] += 1
            left -= 1
    return taken


class Share:
    """Shares the credit of one partition, round after round."""

    def __init__(self) -> None:
        self._users: dict[str, int] = {}
        self._sessions: dict[UUID, int] = {}

    def share(self, credit: int, lanes: Sequence[Lane]) -> list[tuple[Lane, int]]:
        """Shares `credit` tasks. Returns the lanes that get something, each with how many tasks.

        Every user who has tasks waiting gets the same; of a user's, the highest priority goes first, and within a
        priority every session gets the same. Who needs less leaves the rest to the others. The lanes of a session are served
        in the order given.
        """
        lanes = [lane for lane in lanes if lane.waiting > 0]
        found: list[tuple[Lane, int]] = []
        by_user = _grouped(lanes, lambda lane: lane.owner)
        sessions = self._sessions
        self._sessions = {}
        for user, turns in self._taken(credit, by_user).items():
            by_priority = _grouped(by_user[user], lambda lane: lane.priority)
            for priority in sorted(by_priority, reverse=True):
                by_session = _grouped(by_priority[priority], lambda lane: lane.session)
                taken = level(turns, _needs(by_session), sessions)
                turns -= sum(taken.values())
                self._sessions |= _counted(sessions, taken)
                for session, count in taken.items():
                    found += _in_order(by_session[session], count)
        return found

    def _taken(self, credit: int, by_user: Mapping[str, list[Lane]]) -> dict[str, int]:
        if not by_user:
            return {}
        taken = level(credit, _needs(by_user), self._users)
        self._users = _counted(self._users, taken)
        return taken


def _grouped(lanes: Sequence[Lane], key: Callable[[Lane], K]) -> dict[K, list[Lane]]:
    groups: dict[K, list[Lane]] = {}
    for lane in lanes:
        groups.setdefault(key(lane), []).append(lane)
    return groups


def _needs(groups: Mapping[K, list[Lane]]) -> dict[K, int]:
    return {key: sum(lane.waiting for lane in own) for key, own in groups.items()}


def _counted(given: Mapping[K, int], taken: Mapping[K, int]) -> dict[K, int]:
    """What each of those that wait has had by now, above the one who has had least: who comes later is not behind."""
    counts = {key: given.get(key, 0) + count for key, count in taken.items()}
    least = min(counts.values())
    return {key: count - least for key, count in counts.items()}


def _in_order(lanes: Sequence[Lane], count: int) -> list[tuple[Lane, int]]:
    found = []
    for lane in lanes:
        if take := min(lane.waiting, count):
            found.append((lane, take))
            count -= take
    return found
