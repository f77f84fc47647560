"""How many requests an asker may make, and when he may come back."""

import pytest

from services.gateway.http import rates
from services.gateway.http.rates import Rates
from shared.contracts.errors import RateLimited
from shared.testing.chain import ManualClock


def taken(limit: Rates, asker: str, tries: int) -> int:
    """How many of so many tries are let through."""
    through = 0
    for _ in range(tries):
        try:
            limit.take(asker)
        except RateLimited:
            continue
        through += 1
    return through


def test_a_burst_then_so_many_a_second_and_others_are_not_touched() -> None:
    clock = ManualClock()
    limit = Rates("requests of a user", clock, per_second=10, burst=20)
    assert taken(limit, "alice", 100) == 20
    assert taken(limit, "bob", 5) == 5
    clock.move(0.5)
    assert taken(limit, "alice", 100) == 5
    clock.move(1000)
    assert taken(limit, "alice", 100) == 20, "what was not used is not saved up"


def test_the_refusal_says_when_to_come_back_and_coming_back_then_helps() -> None:
    clock = ManualClock()
    limit = Rates("requests of a user", clock, per_second=0.1, burst=2)
    assert taken(limit, "alice", 2) == 2
    with pytest.raises(RateLimited, match=r"more than 0\.1 requests of a user a second") as refused:
        limit.take("alice")
    assert refused.value.retry_after == 10
    clock.move(refused.value.retry_after)
    assert taken(limit, "alice", 2) == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MOST_KEPT", 3)
    limit = Rates("requests", ManualClock(), per_second=1, burst=1)
    for name in "abcdefgh":
        limit.take(name)
    assert taken(limit, "h", 1) == 0, "the newest is remembered"
    assert taken(limit, "a", 1) == 1, "the oldest is not"
