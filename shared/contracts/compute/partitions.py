"""Partitions: where tasks run, and what they have a right to."""

from typing import Annotated

import msgspec

from shared.contracts.compute.options import PartitionName

Urgency = Annotated[int, msgspec.Meta(ge=1, le=99)]
Slots = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]


class PartitionCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Made again with the same values nothing happens; with others it is `already_exists`.

    priority   1 to 99: on workers that serve several partitions the higher one's tasks begin first   (1)
    reserve    slots that it has a right to: others that run there are preempted for it                (0)
    max        most tasks of it in the queue or with workers at once; 0: nothing new begins            (no limit)
    """

    name: PartitionName
    priority: Urgency = 1
    reserve: Slots = 0
    max: Slots | None = None


class PartitionUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A field that is not given stays as it is; `max` null takes the limit away. Known to every scheduler within two seconds."""

    name: PartitionName
    priority: Urgency | msgspec.UnsetType = msgspec.UNSET
    reserve: Slots | msgspec.UnsetType = msgspec.UNSET
    max: Slots | msgspec.UnsetType | None = msgspec.UNSET


class PartitionRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names a partition."""

    name: PartitionName


class Partition(msgspec.Struct, frozen=True):
    """`priority`, `reserve`, `max`: as it was made or updated.

    workers       live ones that serve it; a worker may serve several
    slots         tasks that those can run at once
    outstanding   tasks in the queue or with a worker
    running       those of them that are known to run: for more than 100 ms
    waiting       ready tasks that wait for their turn in the tables; at most so many, counted up to 100,000
    functions     those that its live workers have
    unplaced      of `waiting`: how many wait for a function that none of them has, by function; the 20 with the most tasks
    unwell        live workers that can run nothing, or less than their slots, each with the reason; 20 of them
    """

    name: str
    workers: int
    slots: int
    outstanding: int
    priority: int = 1
    reserve: int = 0
    max: int | None = None
    running: int = 0
    waiting: int = 0
    functions: list[str] = []
    unplaced: dict[str, int] = {}
    unwell: dict[str, str] = {}


class PartitionPage(msgspec.Struct, frozen=True):
    """A page of partitions. `next`: the token of the next page, empty on the last one."""

    items: list[Partition]
    next: str = ""
