"""What a list may cost: many cheap comparisons, few dear ones; what is over it is refused before anything is asked."""

import pytest

from services.scheduler.compute.lists import cost
from shared.contracts.compute import Condition
from shared.contracts.compute import filters as f
from shared.contracts.errors import Invalid

SOME = "019a6f2e-5d3c-7a10-8c44-1d2b3c4d5e6f"


def ored(many: int, field: str, op: f.Op, value: f.Scalar | list[str | int | float]) -> list[list[Condition]]:
    return [[Condition(field, value, op)] for _ in range(many)]


@pytest.mark.parametrize(
    ("field", "op", "value", "most"),
    [
        ("parent", "=", SOME, 512),
        ("function", "=", "square", 256),
        ("error", "contains", "disk", 85),
        ("error", "ends", "disk", 25),
        ("labels.night", "contains", "03", 28),
        ("inputs", "contains", SOME, 64),
        ("partition", "=", "gpu", 6),
        ("created_at", ">", "2026-03-01T00:00:00Z", 6),
        ("attempt", "in", [1, 2, 3], 102),
        ("id", "in", [SOME] * 1000, 8),
    ],
)
def test_so_many_conditions_and_no_more(
    field: str, op: f.Op, value: f.Scalar | list[str | int | float], most: int
) -> None:
    cost.check(f.TASK_FIELDS, ored(most, field, op, value))
    with pytest.raises(Invalid, match=r"cost \d+ units, of which a list may take 512") as caught:
        cost.check(f.TASK_FIELDS, ored(most + 1, field, op, value))
    assert caught.value.field == "where"


def test_the_filter_that_stopped_everybody_is_refused() -> None:
    with pytest.raises(Invalid):
        cost.check(f.TASK_FIELDS, ored(256, "error", "contains", "x"))


def test_conditions_that_all_have_to_hold_count_as_well() -> None:
    group = [Condition("name", "7", "contains")] * 26
    with pytest.raises(Invalid):
        cost.check(f.TASK_FIELDS, [group])


def test_a_dear_order_counts() -> None:
    where = ored(218, "function", "=", "f")
    cost.check(f.TASK_FIELDS, where, "-created_at")
    with pytest.raises(Invalid):
        cost.check(f.TASK_FIELDS, [*where, where[0]], "-created_at")


@pytest.mark.parametrize("sort", ["", "id", "-id", "nonsense", "-created_at", "partition"])
def test_an_order_alone_is_never_too_dear(sort: str) -> None:
    cost.check(f.TASK_FIELDS, [], sort)


@pytest.mark.parametrize("fields", [f.TASK_FIELDS, f.RESULT_FIELDS, f.SESSION_FIELDS])
def test_each_field_has_a_cost(fields: dict[str, str]) -> None:
    for field, kind in fields.items():
        for op in f.OPS[kind]:
            assert 0 < cost.cost(fields, ored(1, field.replace("*", "x"), op, "x")) <= 100
