"""The window follows from how long tasks run: a floor per slot, a ceiling, and little weight to one measurement."""

from services.scheduler.dispatch.pace import AHEAD, KEPT, LARGEST, PER_SLOT, SLOW, Pace


def paced(*seconds: float) -> Pace:
    pace = Pace()
    for each in seconds:
        pace.record(each)
    return pace


def test_it_begins_with_a_few_tasks_for_each_slot() -> None:
    assert Pace().window(0) == 2 * PER_SLOT
    assert Pace().window(1) == Pace().window(2) == 3
    assert Pace().window(10) == 15


def test_it_holds_so_many_seconds_of_work_between_floor_and_ceiling() -> None:
    assert paced(0.001).window(10) == int(10 * AHEAD / 0.001)
    assert paced(SLOW - 0.01).window(10) == 10 * PER_SLOT
    assert paced(SLOW).window(10) == paced(60).window(10) == 15, "of slow ones little more than runs"
    assert paced(0.0).window(10) == LARGEST


def test_one_measurement_weighs_little_and_many_count() -> None:
    before = paced(0.001).window(10)
    assert before / 2 < paced(0.001, 0.002).window(10) < before
    assert paced(0.001, *[0.01] * 50).window(10) in range(145, 156)


def test_after_a_pause_nobody_knows_what_comes() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    pace.record(0.001)
    now += KEPT - 0.01
    assert pace.window(10) == int(10 * AHEAD / 0.001)
    now += 0.02
    assert pace.window(10) == 15
    pace.record(0.01)
    assert pace.window(10) == int(10 * AHEAD / 0.01)


def test_slow_tasks_are_remembered_as_long_as_they_take() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    pace.record(4)
    now += 12
    pace.record(0.001)
    assert pace.window(10) == 15, "one quick one among them changes little"
