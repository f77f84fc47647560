"""How turns are shared out among the sessions that wait."""

from collections.abc import Sequence
from uuid import UUID

import msgspec


class Lane(msgspec.Struct, frozen=True):
    """Somebody who waits for turns. `waiting`: an upper bound of the tasks there."""

    priority: int
    session: UUID
    waiting: int
    source: object = None


def share(credit: int, lanes: Sequence[Lane]) -> list[tuple[Lane, int]]:
    """Shares `credit` turns: the higher priority first, all of it; within one, the same to each session in turn.

    A session that needs less leaves its turns to the others. Within a session the order given is kept.
    """
    given: list[tuple[Lane, int]] = []
    for priority in sorted({lane.priority for lane in lanes}, reverse=True):
        sessions: dict[UUID, list[Lane]] = {}
        for lane in lanes:
            if lane.priority == priority and lane.waiting > 0:
                sessions.setdefault(lane.session, []).append(lane)
        wants = sorted(sessions.values(), key=lambda own: sum(lane.waiting for lane in own))
        for place, own in enumerate(wants):
            turns = -(-credit // (len(wants) - place))  # what the smaller ones left is shared by the others
            for lane in own:
                take = min(turns, lane.waiting, credit)
                if take > 0:
                    given.append((lane, take))
                    turns, credit = turns - take, credit - take
        if credit <= 0:
            break
    return given
