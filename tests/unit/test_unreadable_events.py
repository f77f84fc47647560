"""Events that cannot be read end no reader: they are passed over."""

from uuid import uuid4

import pytest

from services.gateway.events.event_filter import EventFilter
from services.gateway.events.feed import Event, is_readable
from services.gateway.events.watch_endpoint import command_subject

CHANGED = "hr.evt.task.changed.0192"


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'"\xff"', b"[" * 1_000_000, b"{} {}"])
def test_what_is_not_json_is_passed_over(data: bytes) -> None:
    assert not is_readable(CHANGED, data)


@pytest.mark.parametrize(
    ("subject", "is_one"), [(CHANGED, True), ("hr.evt.a.b.c.d", True), ("hr.evt.a.b", False), ("hr", False)]
)
def test_a_subject_has_a_noun_an_event_and_an_id(subject: str, is_one: bool) -> None:
    assert is_readable(subject, b"{}") is is_one


@pytest.mark.parametrize("data", [b"[]", b"7", b'{"session": 7}', b'{"task": "no"}', b"{}"])
def test_what_is_of_no_task_is_not_of_the_named_ones(data: bytes) -> None:
    event_filter = EventFilter([uuid4()])
    assert event_filter.apply("hr.evt.task.logged.0192", data) is None
    assert event_filter.apply(CHANGED, data) is None


@pytest.mark.parametrize("data", [b"[]", b'{"subject": 7}', b"{}"])
def test_an_outcome_without_a_command_is_nobodys(data: bytes) -> None:
    assert command_subject(Event(1, 1, "hr.evt.command.done.1", data)) == ""
