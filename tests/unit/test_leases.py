"""Which attempts of a worker are lost: by its silence, or because its heartbeats leave them out."""

from uuid import UUID

import pytest

from services.scheduler.dispatch.leases import MISSED, lost_attempts
from services.scheduler.dispatch.partition import LiveWorker
from services.scheduler.dispatch.preemption import Stopping, stopped
from services.scheduler.dispatch.recovery import holds_since
from services.scheduler.dispatch.workers import Held
from shared.contracts.work import MOST_HELD, Beat

LEASE, EVERY = 10.0, 2.0
KEYS = [(UUID(int=n), 0) for n in (1, 2)]


def held(*ages: float) -> list[Held]:
    return [Held(UUID(int=n), 0, age) for n, age in enumerate(ages, 1)]


def worker(*holds: tuple[UUID, int], seen_at: float = 0.0) -> LiveWorker:
    return LiveWorker(Beat("w", "p", 2, ["f"], list(holds)), seen_at)


def lost(found: list[Held], live: LiveWorker | None, since: dict[tuple[UUID, int], float], now: float) -> tuple:  # type: ignore[type-arg]
    return lost_attempts(found, live, since, now, lease=LEASE, every=EVERY)


def test_a_silent_workers_attempts_are_lost_when_they_are_as_old_as_a_lease() -> None:
    assert lost(held(LEASE - 0.1, LEASE), None, {}, 100.0) == ([KEYS[1]], {})


def test_what_a_live_worker_names_is_not_lost_however_old_it_is() -> None:
    assert lost(held(1e6), worker(KEYS[0]), {}, 100.0) == ([], {})
    assert lost(held(1e6), worker((KEYS[0][0], 1)), {}, 100.0)[1], "a later attempt is another"


def test_what_a_live_worker_leaves_out_is_lost_after_some_heartbeats() -> None:
    since = 100.0
    found, absent = lost(held(50), worker(seen_at=since), {}, since)
    assert (found, absent) == ([], {KEYS[0]: since}), "its end may be on its way"
    late = since + MISSED * EVERY + 0.1
    assert lost(held(50), worker(seen_at=late), absent, late - 0.2) == ([], absent)
    assert lost(held(50), worker(seen_at=late), absent, late) == ([KEYS[0]], absent)
    assert lost(held(50), worker(seen_at=since), absent, late) == ([], absent), "no heartbeat has come since"
    assert lost(held(50), worker(KEYS[0], seen_at=late), absent, late) == ([], {}), "it is named again"


def test_a_worker_that_cannot_name_all_that_it_holds_loses_nothing() -> None:
    many = [(UUID(int=n), 0) for n in range(10, 10 + MOST_HELD)]
    assert lost(held(50), worker(*many, seen_at=200.0), {KEYS[0]: 1.0}, 200.0) == ([], {})


@pytest.mark.parametrize(
    ("live", "rebuilds", "expected"),
    [
        (worker(KEYS[0], seen_at=5.0), 3, (1, {})),
        (worker(seen_at=1.0), 3, (1, {})),
        (worker(seen_at=5.0), 3, (0, {7: 1})),
        (None, 3, (0, {7: 1})),
        (worker(KEYS[0], seen_at=5.0), 4, (0, {})),
    ],
    ids=["it still names it", "its heartbeat is older", "it names it no more", "it is gone", "the queue was rebuilt"],
)
def test_a_preempted_attempt_is_outstanding_until_its_worker_has_stopped_it(
    live: LiveWorker | None, rebuilds: int, expected: tuple[int, dict[int, int]]
) -> None:
    one = Stopping(*KEYS[0], partition=7, worker="w", since=2.0, rebuilds=3)
    left, gone = stopped([one], {7: rebuilds}, {"w": live} if live else {})
    assert (len(left), gone) == expected


def test_only_what_workers_said_since_they_were_asked_is_theirs() -> None:
    workers = {"a": worker(KEYS[1], seen_at=5.0), "b": worker(KEYS[0], seen_at=6.0), "c": worker((UUID(int=9), 0))}
    assert holds_since(workers, 5.0) == [(*KEYS[0], "b"), (*KEYS[1], "a")]
