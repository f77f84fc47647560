"""Sharing credit: priority first, then everybody the same, and nothing left over while somebody waits."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from services.scheduler.dispatch.share import Lane, share

ONE, TWO, THREE = sorted(uuid4() for _ in range(3))


def given_to(credit: int, *lanes: Lane) -> dict[object, int]:
    return {lane.source: n for lane, n in share(credit, lanes)}


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


_lanes = st.lists(
    st.builds(Lane, st.integers(1, 3), st.sampled_from([ONE, TWO, THREE]), st.integers(0, 40)), max_size=8
)


@given(credit=st.integers(0, 100), lanes=_lanes)
def test_nothing_is_wasted_and_nothing_given_twice(credit: int, lanes: list[Lane]) -> None:
    given = share(credit, lanes)
    assert sum(n for _, n in given) == min(credit, sum(lane.waiting for lane in lanes))
    assert all(0 < n <= lane.waiting for lane, n in given)
    for priority in (2, 3):  # whoever is lower gets something only when the higher ones have all they want
        lower = sum(n for lane, n in given if lane.priority < priority)
        higher = sum(n for lane, n in given if lane.priority >= priority)
        assert not lower or higher == sum(lane.waiting for lane in lanes if lane.priority >= priority)
