"""Which functions are chosen, and how many tasks that were set aside have another turn: by what the live workers say."""

from typing import Any
from uuid import UUID

import pytest

from services.scheduler.dispatch.functions import BUSY, LATELY, TICK, Functions
from services.scheduler.dispatch.pace import LARGEST, Pace
from services.scheduler.dispatch.partition import Partition
from services.scheduler.dispatch.unplaced import without_worker
from shared.contracts.work import Beat

TASK = UUID("01a20ec8-0000-7000-8000-000000000001")


class Now:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def beat(worker: str, *functions: str, slots: int = 2, holds: int = 0, unwell: str = "") -> Beat:
    return Beat(worker, "p", slots, list(functions), [(TASK, 0)] * holds, unwell=unwell)


def offered(now: Now, *beats: Beat) -> Functions:
    functions = Functions(now)
    functions.update(beats)
    return functions


def test_without_a_live_worker_nobody_knows_and_all_is_chosen() -> None:
    assert (offered(Now()).offered, offered(Now()).open) == (None, None)
    assert not offered(Now()).check_due()


def test_what_any_live_worker_has_is_chosen_and_nothing_else() -> None:
    functions = offered(Now(), beat("a", "f"), beat("b", "f", "g"))
    assert functions.open == {"f", "g"}
    functions.update([beat("a", "f")])
    assert functions.open == {"f"}


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        ([beat("a", "g"), beat("b", "g")], 0),
        ([beat("a", "f"), beat("b", "f")], LARGEST),
        ([beat("a", "f"), beat("b", "g"), beat("c", "g"), beat("d", "g")], Pace().window(2)),
        ([beat("a", "f"), beat("b", "f", slots=8), beat("c", "g")], Pace().window(10)),
        ([beat("a", "f", holds=4), beat("b", "f", holds=1), beat("c", "g")], Pace().window(4)),
        ([beat("a", "f", holds=2), beat("c", "g")], 2),
    ],
    ids=["nobody has it", "all have it", "one of four", "two of three", "one of two is busy", "all are busy"],
)
def test_so_many_have_another_turn(beats: list[Beat], expected: int) -> None:
    assert offered(Now(), *beats).allowance("f", beats, Pace().window) == expected


def test_where_all_that_have_it_are_busy_it_is_tried_seldom_unless_they_get_on_with_it() -> None:
    now = Now()
    beats = [beat("a", "f", holds=2), beat("b", "g")]
    functions = offered(now, *beats)
    tried = [functions.allowance("f", beats, Pace().window) for _ in range(10)]
    assert tried == [2, *[0] * 9]
    now.time += BUSY
    assert functions.allowance("f", beats, Pace().window) == 2
    functions.record_end("f")
    assert functions.allowance("f", beats, Pace().window) == Pace().window(2)
    now.time += LATELY
    assert functions.allowance("f", beats, Pace().window) == 2


def test_what_was_set_aside_is_looked_at_now_and_then_and_at_once_when_the_workers_change() -> None:
    now = Now()
    functions = offered(now, beat("a", "f"))
    assert [functions.check_due(), functions.check_due()] == [True, False]
    now.time += 2 * TICK
    assert functions.check_due()
    functions.update([beat("a", "f", "g")])
    assert functions.check_due()


def test_a_function_of_which_too_many_wait_is_closed_until_they_have_gone() -> None:
    functions = offered(Now(), beat("a", "f"), beat("b", "g"))
    functions.close(["f"])
    assert functions.open == {"g"}
    functions.close([])
    assert functions.open == {"f", "g"}


def test_only_news_of_a_worker_count_and_an_unwell_one_has_no_slots() -> None:
    partition = Partition(1, "p")
    assert partition.record_beat(beat("a", "f"), 1.0)
    assert not partition.record_beat(beat("a", "f", holds=2), 2.0)
    assert partition.record_beat(beat("a", "f", "g"), 3.0)
    assert partition.functions.open == {"f", "g"}
    assert partition.record_beat(beat("b", "g", slots=50), 3.0)
    assert partition.slots == 52
    wide = partition.window
    assert partition.record_beat(beat("b", "g", slots=50, unwell="no descriptors"), 4.0)
    assert (partition.slots, partition.functions.open) == (2, {"f", "g"})
    assert partition.window < wide
    partition.remove_worker("a")
    assert partition.functions.open == {"g"}
    partition.remove_worker("b")
    assert partition.functions.open is None


def test_what_nobody_has_is_named_with_how_many_wait_for_it() -> None:
    partition = Partition(1, "p")
    partition.record_beat(beat("a", "f"), 1.0)
    rows: list[Any] = [
        {"partition": 1, "function": name, "tasks": count} for name, count in (("f", 5), ("typo", 3), ("g", 7))
    ]
    assert without_worker(rows, {1: partition}) == {1: {"g": 7, "typo": 3}}
