"""How credit is shared among the sessions whose tasks wait."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec


class Lane(msgspec.Struct, frozen=True):
    """Tasks of one session and priority that wait. `waiting`: how many, at most. `source`: what the caller knows of them."""

    priority: int
    session: UUID
    waiting: int
    source: Mapping[str, Any] | None = None


def share(credit: int, lanes: Sequence[Lane]) -> list[tuple[Lane, int]]:
    """Shares `credit` tasks: all of it to the highest priority first; within a priority, the same number to each session.

    A session that needs less leaves the rest to the others. The lanes of a session are served in the order given. Returns the
    lanes that get something, each with how many tasks.
    """
    given: list[tuple[Lane, int]] = []
    for priority in sorted({lane.priority for lane in lanes}, reverse=True):
        sessions: dict[UUID, list[Lane]] = {}
        for lane in lanes:
            if lane.priority == priority and lane.waiting > 0:
                sessions.setdefault(lane.session, []).append(lane)
        by_need = sorted(sessions.values(), key=lambda own: sum(lane.waiting for lane in own))
        for place, own in enumerate(by_need):
            turns = -(-credit // (len(by_need) - place))  # what the smaller ones left is shared by the others
            for lane in own:
                take = min(turns, lane.waiting, credit)
                if take > 0:
                    given.append((lane, take))
                    turns, credit = turns - take, credit - take
        if credit <= 0:
            break
    return given
