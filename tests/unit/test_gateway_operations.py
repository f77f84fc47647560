"""Operations of several services: found wherever they are, and listed as one."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.gateway.events.feed import Event
from services.gateway.events.visible import VisibleEvents
from services.gateway.operations import of_services
from services.gateway.operations.of_services import merge
from shared.contracts.errors import Conflict, HeadraceError, NotFound, Unavailable
from shared.contracts.operations import (
    Operation,
    OperationList,
    OperationMetadata,
    OperationPage,
    OperationRef,
    OperationWait,
    operation_name,
)
from shared.service.context import speaking_for
from shared.service.paging import place_of

IDS = [uuid4() for _ in range(8)]
ASKED = OperationList(size=3)


def made_at(number: int) -> str:
    return f"2026-11-30T21:00:0{number}.000000Z"


def page(*numbers: int, kind: str = "archive", more: bool = False) -> OperationPage:
    items = [
        Operation(
            operation_name(IDS[number]),
            OperationMetadata(kind, "datasets/d", "ann", "running", "step", made_at(number), "", 1),
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
    assert place_of(OperationList(size=100, token=found.next), tuple[str, UUID]) == (made_at(5), IDS[5])


def test_what_a_cut_page_may_hide_comes_later() -> None:
    """A service's reply is full before its page is: others' operations that are older may not pass it."""
    found = merge(ASKED, [page(7, more=True), page(6, 5), page()])
    assert numbers(found) == [7]
    assert place_of(OperationList(size=3, token=found.next), tuple[str, UUID]) == (made_at(7), IDS[7])


def test_one_that_was_handed_over_in_between_stands_once() -> None:
    found = merge(ASKED, [page(4, kind="before"), page(4, kind="after"), page()])
    assert [one.metadata.kind for one in found.items] == ["after"]


class Services:
    """Answers for the services: `replies` by their names. `asked`: who was asked, in order, and with what."""

    def __init__(self, **replies: Operation | HeadraceError) -> None:
        self.replies, self.asked = replies, list[tuple[str, Any]]()

    async def ask(self, bus: Any, endpoint: Any, message: Any, context: Any, **_: Any) -> Operation:
        self.asked.append((endpoint.service, message))
        reply = self.replies.get(endpoint.service, NotFound("there is no operation"))
        if isinstance(reply, HeadraceError):
            raise reply
        return reply


BUS: Any = None
ANN = speaking_for("ann")
REF = OperationRef(IDS[0])
ONE = page(0).items[0]


@pytest.mark.parametrize("service", ["archiver", "retriever", "scheduler"])
async def test_whichever_service_has_it(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    services = Services(**{service: ONE})
    monkeypatch.setattr(of_services, "ask", services.ask)
    assert await of_services.get(BUS, ANN, REF) == ONE
    order = [name for name, _ in services.asked]
    assert order == ["archiver", "retriever", "scheduler"][: len(order)], "who lets go of one is asked first"
    assert order[-1] == service


async def test_what_no_service_has_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_services, "ask", Services().ask)
    with pytest.raises(NotFound, match=str(REF.operation)):
        await of_services.cancel(BUS, ANN, REF)


async def test_a_service_that_is_away_hides_only_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_services, "ask", Services(archiver=Unavailable("away"), scheduler=ONE).ask)
    assert await of_services.get(BUS, ANN, REF) == ONE
    monkeypatch.setattr(of_services, "ask", Services(archiver=Unavailable("away")).ask)
    with pytest.raises(Unavailable):
        await of_services.get(BUS, ANN, REF)


async def test_a_refusal_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(archiver=Conflict("it cannot be cancelled"))
    monkeypatch.setattr(of_services, "ask", services.ask)
    with pytest.raises(Conflict):
        await of_services.cancel(BUS, ANN, REF)
    assert len(services.asked) == 1


async def test_a_wait_is_no_longer_for_being_asked_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    services = Services(scheduler=ONE)
    monkeypatch.setattr(of_services, "ask", services.ask)
    await of_services.wait(BUS, ANN, OperationWait(IDS[0], timeout=20))
    waits = [asked.timeout for _, asked in services.asked]
    assert 20 >= waits[0] >= waits[1] >= waits[2] > 15


async def test_events_of_operations_are_for_their_owners() -> None:
    event = Event(1, 1, f"hr.evt.operation.changed.{IDS[0]}", msgspec.json.encode(ONE))
    nonsense = Event(1, 2, f"hr.evt.operation.changed.{IDS[1]}", b"[]")
    for user, seen in (("ann", [event]), ("bob", [])):
        request: Any = SimpleNamespace(context=speaking_for(user))
        assert await VisibleEvents(request).keep([event, nonsense]) == seen
