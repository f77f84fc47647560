"""Decides what a site offers, from what is asked for, what is free, and where the data are."""

from collections.abc import Collection, Sequence

import msgspec

from shared.contracts.catalogue import Located
from shared.contracts.execution import Between, ExecutionRequest


class Place(msgspec.Struct, frozen=True):
    """What a site is. `memory` in GiB, `move` in bytes a second, `hold` in seconds: how long an offer is good."""

    name: str
    cores: int
    memory: int
    storages: frozenset[str]
    move: float
    hold: float


class Free(msgspec.Struct, frozen=True):
    """What no offer holds."""

    cores: int
    memory: int


class Lost(msgspec.Struct, frozen=True):
    """Data that cannot be placed, and why."""

    reason: str


class Terms(msgspec.Struct, frozen=True):
    """What an offer promises, beside its request. `memory` in GiB."""

    cores: int
    memory: int
    cores_free: int
    prepare_seconds: float
    reasons: list[str]


class No(msgspec.Struct, frozen=True):
    """The site offers nothing, and why."""

    reason: str


def decide(
    place: Place,
    free: Free,
    request: ExecutionRequest,
    data: Sequence[Located | Lost],
    functions: Collection[str] | None = (),
) -> Terms | No:
    """The terms on which the site would run it, or why it would not. `functions`: of its live workers; None: nobody knows."""
    if request.executable is not None:
        if functions is None:
            return No("which functions its workers have is not known now")
        if request.executable.function not in functions:
            return No(f"no live worker of the site has function {request.executable.function!r}")
    for one in data:
        if isinstance(one, Lost):
            return No(one.reason)
        if one.damaged:
            damaged = "1 datablock" if one.damaged == 1 else f"{one.damaged} datablocks"
            return No(f"{one.pid} is damaged on long-term storage: {damaged}; archive it again from its source")
        if not one.storages:
            return No(f"no long-term storage holds all of {one.pid}")
    cores, memory = request.compute.cores, request.compute.memory
    lacks = _lacks("core", cores, place.cores, free.cores) or _lacks("GiB", memory, place.memory, free.memory)
    if lacks:
        return No(lacks)
    here = [one for one in data if isinstance(one, Located) and place.storages.intersection(one.storages)]
    away = [one for one in data if isinstance(one, Located) and one not in here]
    reasons = [f"holds all {size(one.size)} of {one.pid}" for one in here]
    reasons += [_moving(one, place.move) for one in away]
    reasons.append(f"{free.cores} of {place.cores} cores free")
    return Terms(
        cores=min(cores.most, free.cores),
        memory=min(memory.most, free.memory),
        cores_free=free.cores,
        prepare_seconds=round(sum(one.size for one in away) / place.move, 3),
        reasons=reasons,
    )


def size(count: int) -> str:
    """Bytes for people, as storage counts them: 1.9 MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _moving(one: Located, move: float) -> str:
    return f"would move {size(one.size)} of {one.pid} at {move / 1e6:g} MB/s: {one.size / move:.1f} s"


def _lacks(unit: str, needed: Between, has: int, free: int) -> str:
    if needed.min > has:
        return f"{_count(needed.min, unit)} requested, and there are {has}"
    if needed.min > free:
        return f"{_count(needed.min, unit)} requested, and {free} of {has} are free"
    return ""


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 or unit == "GiB" else f"{number} {unit}s"
