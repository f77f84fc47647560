"""Sharing credit: users the same, their higher priorities first, sessions the same; nothing left over while somebody waits."""

from collections import Counter
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.dispatch.share import Lane, Share

ONE, TWO, THREE = sorted(uuid4() for _ in range(3))
SESSIONS = {"a1": ONE, "a2": TWO, "b": THREE}


def given_to(credit: int, *lanes: Lane, share: Share | None = None) -> dict[object, int]:
    return {lane.source: n for lane, n in (share or Share()).share(credit, lanes)}


def test_the_higher_priority_takes_all_it_wants() -> None:
    lanes = (Lane(1, ONE, 50, "low"), Lane(9, TWO, 50, "high"))
    assert given_to(40, *lanes) == {"high": 40}
    assert given_to(60, *lanes) == {"high": 50, "low": 10}


def test_sessions_of_one_priority_get_the_same_and_leave_what_they_do_not_need() -> None:
    big, small, other = Lane(1, ONE, 10_000, "big"), Lane(1, TWO, 3, "small"), Lane(1, THREE, 10_000, "other")
    assert given_to(30, big, small) == {"small": 3, "big": 27}
    assert given_to(33, big, small, other) == {"small": 3, "big": 15, "other": 15}
    assert given_to(1, big, other) in ({"big": 1}, {"other": 1})


def test_lanes_of_one_session_share_its_turns_in_their_order() -> None:
    lanes = (Lane(1, ONE, 4, "first"), Lane(1, ONE, 100, "second"), Lane(1, TWO, 100, "other"))
    assert given_to(20, *lanes) == {"first": 4, "second": 6, "other": 10}


def test_users_get_the_same_however_many_sessions_and_whatever_priority_they_have() -> None:
    alice = [Lane(99, ONE, 100, "a1", "alice"), Lane(99, TWO, 100, "a2", "alice"), Lane(1, TWO, 100, "a3", "alice")]
    bob = Lane(1, THREE, 100, "b", "bob")
    assert given_to(40, *alice, bob) == {"a1": 10, "a2": 10, "b": 20}
    assert given_to(400, *alice, bob) == {"a1": 100, "a2": 100, "a3": 100, "b": 100}


def test_credit_that_comes_one_by_one_goes_in_turn() -> None:
    share, had = Share(), Counter[object]()
    waiting = {"a1": 30, "a2": 500, "b": 60}
    for _ in range(100):
        lanes = [Lane(1, SESSIONS[name], n, name, name[0]) for name, n in waiting.items()]  # type: ignore[arg-type]
        for name, n in given_to(1, *lanes, share=share).items():
            had[name] += n
            waiting[str(name)] -= n
    assert had == {"a1": 25, "a2": 25, "b": 50}


def test_who_comes_later_is_neither_behind_nor_ahead() -> None:
    share = Share()
    alone = Lane(1, ONE, 10_000, "a", "alice")
    for _ in range(100):
        given_to(50, alone, share=share)
    both = (alone, Lane(1, TWO, 10_000, "b", "bob"))
    assert given_to(50, *both, share=share) == {"a": 25, "b": 25}


_lanes = st.lists(
    st.builds(Lane, st.integers(1, 3), st.sampled_from([ONE, TWO, THREE]), st.integers(0, 40)), max_size=8
)


@given(credit=st.integers(0, 100), lanes=_lanes)
def test_nothing_is_wasted_and_nothing_given_twice(credit: int, lanes: list[Lane]) -> None:
    given = Share().share(credit, lanes)
    assert sum(n for _, n in given) == min(credit, sum(lane.waiting for lane in lanes))
    assert all(0 < n <= lane.waiting for lane, n in given)
    for priority in (2, 3):  # whoever is lower gets something only when the higher ones have all they want
        lower = sum(n for lane, n in given if lane.priority < priority)
        higher = sum(n for lane, n in given if lane.priority >= priority)
        assert not lower or higher == sum(lane.waiting for lane in lanes if lane.priority >= priority)
