"""Who is preempted, and who begins first."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.victims import Claim, Run, ranks, victims

OWNER, LOW, HIGH = 1, 2, 3


def run(
    n: int, partition: int, *, worker: str = "w", priority: int = 1, since: int = 0, preemptible: bool = True
) -> Run:
    return Run(UUID(int=n), 0, partition, worker, priority, since or n, preemptible)


def claim(number: int, *, reserve: int = 0, missing: int = 0, priority: int = 1, workers: str = "w") -> Claim:
    return Claim(number, priority, reserve, missing, workers.split())


def picked(claims: list[Claim], slots: dict[str, int], runs: list[Run]) -> list[int]:
    return [victim.task.int for victim, _ in victims(claims, slots, runs)]


def test_no_more_than_is_wanted_reserved_and_not_free() -> None:
    low = [run(n, LOW) for n in range(1, 5)]
    other = claim(LOW)
    assert len(picked([claim(OWNER, reserve=2, missing=9), other], {"w": 4}, low)) == 2, "no more than the reserve"
    assert len(picked([claim(OWNER, reserve=4, missing=1), other], {"w": 4}, low)) == 1, "no more than waits"
    assert len(picked([claim(OWNER, reserve=2, missing=9), other], {"w": 5}, low)) == 1, "one slot is free"
    assert picked([claim(OWNER, reserve=2, missing=9), other], {"w": 6}, low) == []
    own = [run(8, OWNER), run(9, OWNER)]
    assert picked([claim(OWNER, reserve=2, missing=9), other], {"w": 6}, low + own) == [], "it has its reserve"


def test_the_lowest_priority_and_the_youngest_go_first() -> None:
    claims = [claim(OWNER, reserve=9, missing=2), claim(LOW, priority=1), claim(HIGH, priority=2)]
    runs = [run(1, HIGH, priority=1), run(2, LOW, priority=5, since=9), run(3, LOW, priority=2, since=1)]
    assert picked(claims, {"w": 3}, runs) == [3, 2], "by partition, then by the task's own priority"
    runs = [run(1, LOW, since=1), run(2, LOW, since=3), run(3, LOW, since=2)]
    assert picked(claims, {"w": 3}, runs) == [2, 3], "the youngest of those"


def test_nobody_is_driven_under_his_own_reserve() -> None:
    claims = [claim(OWNER, reserve=4, missing=4, priority=9), claim(LOW, reserve=2), claim(HIGH, reserve=1, priority=2)]
    runs = [run(1, LOW), run(2, LOW), run(3, LOW), run(4, HIGH)]
    assert picked(claims, {"w": 4}, runs) == [3]


def test_only_those_on_its_own_workers_that_may_be() -> None:
    claims = [claim(OWNER, reserve=3, missing=3, workers="a b"), claim(LOW, workers="a b c")]
    runs = [run(1, LOW, worker="a", preemptible=False), run(2, LOW, worker="b"), run(3, LOW, worker="c")]
    assert picked(claims, {"a": 1, "b": 1, "c": 1}, runs) == [2]
    unknown = [run(1, 99, worker="a")]
    assert picked(claims, {"a": 1, "b": 0}, unknown) == [], "of a partition that nobody knows"


def test_two_owners_do_not_count_on_the_same_slot_or_victim() -> None:
    claims = [claim(OWNER, reserve=1, missing=1), claim(HIGH, reserve=1, missing=1, priority=5), claim(LOW)]
    found = victims(claims, {"w": 2}, [run(1, LOW), run(2, LOW)])
    assert sorted(number for _, number in found) == [OWNER, HIGH]
    assert len({victim.task for victim, _ in found}) == 2
    found = victims(claims, {"w": 3}, [run(1, LOW), run(2, LOW)])
    assert [number for _, number in found] == [OWNER], "the free slot is for the more urgent one"


_runs = st.lists(
    st.tuples(st.integers(1, 3), st.sampled_from("ab"), st.integers(1, 3), st.integers(0, 9), st.booleans()),
    max_size=12,
)
_claims = st.tuples(
    *(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 2), st.sampled_from(["a", "b", "a b"]))
        for _ in range(3)
    )
)


@given(_runs, _claims, st.integers(0, 6), st.integers(0, 6))
def test_whatever_runs_the_claims_hold(
    drawn: list[tuple[int, str, int, int, bool]], said: tuple[tuple[int, int, int, str], ...], a: int, b: int
) -> None:
    runs = [
        Run(UUID(int=n), 0, p, worker, priority, since, may)
        for n, (p, worker, priority, since, may) in enumerate(drawn)
    ]
    claims = [
        Claim(n, priority, reserve, missing, workers.split())
        for n, (reserve, missing, priority, workers) in enumerate(said, 1)
    ]
    found = victims(claims, {"a": a, "b": b}, runs)
    known = {one.number: one for one in claims}
    running = Counter(one.partition for one in runs)
    lost = Counter(victim.partition for victim, _ in found)
    won = Counter(number for _, number in found)
    assert len({victim.task for victim, _ in found}) == len(found)
    for victim, number in found:
        assert victim.preemptible
        assert victim.partition != number
        assert victim.worker in known[number].workers
    for number, one in known.items():
        if lost[number]:
            assert running[number] - lost[number] >= one.reserve
        assert won[number] <= max(0, min(one.missing, one.reserve - running[number] + lost[number]))
        assert not (lost[number] and won[number]), "nobody gives and takes"


def known(name: str, *, priority: int = 1, reserve: int = 0, outstanding: int = 0, running: int = 0) -> Partition:
    made = Partition(1, name, priority=priority, reserve=reserve)
    made.reported_outstanding, made.reported_running = outstanding, running
    return made


def test_ranks_are_reserves_first_then_priority() -> None:
    low, high = known("low"), known("high", priority=9)
    assert ranks([low]) == {}, "there is nothing to choose"
    assert ranks([low, high]) == {"high": 0, "low": 1}
    assert ranks([low, known("other"), high]) == {"high": 0, "low": 1, "other": 1}
    owed = known("owed", reserve=2, outstanding=3, running=1)
    assert ranks([low, high, owed]) == {"owed": 0, "high": 1, "low": 2}
    assert ranks([low, high, known("idle", reserve=2)]) == {"high": 0, "low": 1, "idle": 1}
    assert ranks([low, high, known("served", reserve=2, outstanding=9, running=2)])["high"] == 0


def test_a_limit_narrows_the_window() -> None:
    partition = Partition(1, "p", max=3)
    assert partition.credit == 0, "it is not ours to dispatch"
    partition.dispatched_here = True
    assert (partition.window, partition.credit) == (3, 3)
    partition.outstanding = 2
    assert partition.credit == 1
    partition.max, partition.outstanding = 0, 0
    assert partition.credit == 0
    partition.max = 1_000
    assert partition.credit == partition.pace.window(0)
