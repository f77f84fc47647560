"""One list of operations, out of the lists of several services."""

from uuid import UUID

from services.gateway.operations.of_services import merge
from shared.contracts.ids import uuid7
from shared.contracts.operations import Operation, OperationList, OperationMetadata, OperationPage, operation_name
from shared.service.paging import place_of

IDS = [uuid7(milliseconds) for milliseconds in range(8)]
ASKED = OperationList(size=3)


def page(*numbers: int, kind: str = "archive", more: bool = False) -> OperationPage:
    items = [
        Operation(
            operation_name(IDS[number]),
            OperationMetadata(kind, "datasets/d", "ann", "running", "step", "", "", 1),
            False,
        )
        for number in numbers
    ]
    return OperationPage(items, "more" if more else "")


def numbers(found: OperationPage) -> list[int]:
    return [[operation_name(id) for id in IDS].index(one.name) for one in found.items]


def test_newest_first_whosever_they_are() -> None:
    found = merge(ASKED, [page(5, 2), page(3), page()])
    assert (numbers(found), found.next) == ([5, 3, 2], "")


def test_a_page_ends_where_it_is_full_and_says_where_the_next_begins() -> None:
    found = merge(ASKED, [page(7, 5, 2), page(6, 3), page(1)])
    assert numbers(found) == [7, 6, 5]
    assert place_of(OperationList(size=100, token=found.next), UUID) == IDS[5]


def test_what_a_cut_page_may_hide_comes_later() -> None:
    """A service's reply is full before its page is: others' operations that are older may not pass it."""
    found = merge(ASKED, [page(7, more=True), page(6, 5), page()])
    assert numbers(found) == [7]
    assert place_of(OperationList(size=3, token=found.next), UUID) == IDS[7]


def test_one_that_was_handed_over_in_between_stands_once() -> None:
    found = merge(ASKED, [page(4, kind="before"), page(4, kind="after"), page()])
    assert [one.metadata.kind for one in found.items] == ["after"]
