"""What happens next, as pure functions: whatever comes out of steps, a chain ends, and in the right place."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.chain.context import StepContext
from shared.chain.decide import (
    Due,
    Emit,
    Failed,
    Outcome,
    Position,
    Postponed,
    Stopped,
    Succeeded,
    action,
    begin,
    decide,
    name_of,
)
from shared.chain.declare import Chain, Registry, Step, critical, retry, step
from shared.chain.machine import LIVE, MACHINE, ChainStatus, Fault
from shared.runtime.retry import Backoff

NOW = datetime(2026, 11, 22, tzinfo=UTC)
STEADY = Backoff(first=10, factor=2, ceiling=60, jitter=0)
SYSTEM, USER = Failed(Fault.SYSTEM, "disk full"), Failed(Fault.USER, "no such file")


class Nothing(msgspec.Struct):
    pass


async def act(ctx: StepContext, state: Nothing) -> None:
    pass


def whole(**options: Any) -> Chain[Nothing]:
    return Chain(
        "whole",
        Nothing,
        step(act, name="a", undo=act),
        critical(act, name="b", tries=3, backoff=STEADY),
        retry(act, name="c", backoff=STEADY, undo=act),
        **options,
    )


HANDLED = whole(undo=act, on_user_error=act, on_system_error=act, on_cancel=act)


def at(number: int, **fields: Any) -> Position:
    return Position(ChainStatus.RUNNING, NOW, NOW, number, **fields)


def test_a_chain_begins_at_its_first_step() -> None:
    position, effects = begin(NOW)
    assert effects == [Emit("started"), Due(NOW)]
    assert name_of(HANDLED, position) == "a"


def test_each_success_makes_the_next_step_due() -> None:
    later = NOW + timedelta(seconds=5)
    position, effects = decide(HANDLED, at(0, tries=2, error="before"), Succeeded(), later)
    assert position == Position(ChainStatus.RUNNING, later, later, 1)
    assert effects == [Due(later)]
    position, effects = decide(HANDLED, at(2), Succeeded(), later)
    assert (position.status, position.due_at, effects) == (ChainStatus.DONE, None, [Emit("done")])
    assert name_of(HANDLED, position) == "c"


def test_tries_are_spaced_and_counted() -> None:
    position, waits = at(2), []
    for _ in range(5):
        position, effects = decide(HANDLED, position, SYSTEM, NOW)
        assert position.due_at is not None
        waits.append((position.due_at - NOW).total_seconds())
        assert effects == [Due(position.due_at)]
    assert waits == [10, 20, 40, 60, 60]
    assert (position.tries, position.error, position.status) == (5, "disk full", ChainStatus.RUNNING)


@pytest.mark.parametrize(
    ("here", "outcome", "fails"),
    [
        (at(0), SYSTEM, True),  # a plain step has one try
        (at(1), SYSTEM, False),
        (at(1, tries=1), SYSTEM, False),
        (at(1, tries=2), SYSTEM, True),
        (at(1), USER, True),
        (at(2, tries=1000), SYSTEM, False),
        (at(2), USER, True),
        (at(0), Postponed(3), False),
    ],
)
def test_what_fails_a_chain(here: Position, outcome: Outcome, fails: bool) -> None:
    position, _ = decide(HANDLED, here, outcome, NOW)
    assert (position.status is ChainStatus.UNDOING) is fails
    assert (position.failed_at == here.step) is fails


def test_patience_ends_with_one_last_try() -> None:
    chain = Chain("patient", Nothing, retry(act, name="a", give_up_after=100, backoff=STEADY))
    position, _ = decide(chain, at(0, tries=4), SYSTEM, NOW + timedelta(seconds=70))
    assert position.due_at == NOW + timedelta(seconds=100)
    for outcome in (SYSTEM, Postponed(1)):
        ended, effects = decide(chain, position, outcome, NOW + timedelta(seconds=100))
        assert (ended.status, effects) == (ChainStatus.FAILED, [Emit("failed")])


@pytest.mark.parametrize(
    ("failed_at", "outcome", "names"),
    [
        (0, USER, ["undo-a", "undo-chain", "on-user-error"]),
        (1, USER, ["undo-a", "undo-chain", "on-user-error"]),
        (2, USER, ["undo-c", "undo-a", "undo-chain", "on-user-error"]),
        (0, SYSTEM, ["undo-a", "undo-chain", "on-system-error"]),
        (2, Stopped(), ["undo-c", "undo-a", "undo-chain", "on-cancel"]),
    ],
)
def test_undoing_goes_backwards_and_then_tells(failed_at: int, outcome: Outcome, names: list[str]) -> None:
    position, effects = decide(HANDLED, at(failed_at), outcome, NOW)
    done = []
    while position.status in LIVE:
        assert effects == [Due(NOW)]
        done.append(action(HANDLED, position).name)
        position, effects = decide(HANDLED, position, Succeeded(), NOW)
    assert done == names
    assert effects == [Emit("failed")]
    assert position.status is (ChainStatus.CANCELLED if isinstance(outcome, Stopped) else ChainStatus.FAILED)
    assert name_of(HANDLED, position) == "abc"[failed_at]


def test_without_anything_to_undo_it_ends_at_once() -> None:
    chain = Chain("bare", Nothing, step(act, name="a"))
    for outcome, status in ((USER, ChainStatus.FAILED), (Stopped(), ChainStatus.CANCELLED)):
        position, effects = decide(chain, at(0), outcome, NOW)
        assert (position.status, position.due_at, effects) == (status, None, [Emit("failed")])


def test_undoing_passes_over_what_cannot_be_undone() -> None:
    position, _ = decide(HANDLED, at(2), USER, NOW)
    again, effects = decide(HANDLED, position, SYSTEM, NOW)
    assert (again.step, again.tries, again.error) == (0, 1, "no such file")
    assert effects == [Due(again.due_at)]  # type: ignore[arg-type]
    passed, _ = decide(HANDLED, again, Failed(Fault.USER, "gone"), NOW)
    assert (passed.step, passed.error) == (1, "no such file; undo-c: gone")


@pytest.mark.parametrize("outcome", [Succeeded(), Postponed(9), SYSTEM, USER, Stopped()])
def test_a_wish_to_cancel_outweighs_what_came_out(outcome: Outcome) -> None:
    position, _ = decide(HANDLED, at(1, cancelling=True), outcome, NOW)
    assert (position.status, position.fault, position.cancelling) == (ChainStatus.UNDOING, Fault.CANCELLED, False)


outcomes = st.one_of(
    st.builds(Succeeded),
    st.builds(Postponed, st.floats(0, 100)),
    st.sampled_from([SYSTEM, USER, Stopped()]),
)


@given(st.lists(outcomes, max_size=40), st.booleans())
def test_whatever_comes_out(script: list[Outcome], handled: bool) -> None:
    chain = HANDLED if handled else whole()
    (position, effects), now, received = begin(NOW), NOW, 0
    for outcome in script:
        legal = {target for sources, target in MACHINE.moves.values() if position.status in sources}
        before, now = position, now + timedelta(seconds=1)
        position, effects = decide(chain, position, outcome, now)
        assert position.status is before.status or position.status in legal
        live = position.status in LIVE
        assert live == (position.due_at is not None)
        if before.status not in LIVE:
            assert (position, effects) == (before, [])
            continue
        assert [type(effect) for effect in effects] == [Due if live else Emit]
        received += not live
        if live:
            assert position.due_at is not None
            assert position.due_at >= now
            assert action(chain, position).name == name_of(chain, position)
        assert (position.step, position.failed_at) >= (0, -1)
    # From anywhere, successes alone bring it to an end.
    for _ in range(10):
        position, _ = decide(chain, position, Succeeded(), now)
    assert position.status not in LIVE
    assert received <= 1


def test_a_declaration_is_checked() -> None:
    for steps in ([], [step(act), step(act)], [step(act, name="No")], [step(act, name="a-b")], [step(act, name="a.b")]):
        with pytest.raises(ValueError, match="steps with different names"):
            Chain("fine", Nothing, *steps)
    with pytest.raises(ValueError, match="needs steps"):
        Chain("not fine", Nothing, step(act))
    with pytest.raises(ValueError, match="same name and version"):
        Registry(whole(), whole())
    old, new = whole(), whole(version=2)
    known = Registry(old, new)
    assert known.find("whole", 2) is new
    assert known.find("whole", 3) is None
    assert old in known
    assert whole() not in known


def test_kinds_have_their_defaults() -> None:
    def bounds(one: Step) -> tuple[str, int | None]:
        return one.kind.value, one.tries

    assert [bounds(kind(act)) for kind in (step, critical, retry)] == [("step", 1), ("critical", 3), ("retry", None)]
    assert step(act).name == "act"


def test_diagrams() -> None:
    drawn = whole().mermaid()
    assert 's1["critical: b"]' in drawn
    assert "s1 --> s2" in drawn
    assert "RUNNING --> UNDOING: undo" in MACHINE.mermaid()
