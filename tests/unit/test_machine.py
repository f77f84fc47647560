"""States are tables, and the scheduler's are whole."""

from enum import IntEnum

import pytest

from services.scheduler.machine import MACHINES, SESSION, TASK
from shared.contracts.errors import Conflict
from shared.contracts.states import TASK_ENDS
from shared.runtime.machine import Machine


class Door(IntEnum):
    OPEN = 1
    SHUT = 2
    LOCKED = 3
    GONE = 4


DOOR: Machine[Door] = Machine(
    "door",
    Door.OPEN,
    {
        "shut": (frozenset({Door.OPEN}), Door.SHUT),
        "lock": (frozenset({Door.SHUT}), Door.LOCKED),
        "remove": (frozenset({Door.OPEN, Door.SHUT}), Door.GONE),
    },
    kind=Door,
)


def test_legal_moves_lead_somewhere_and_illegal_ones_name_both_states() -> None:
    assert DOOR.check("shut", Door.OPEN) is Door.SHUT
    assert DOOR.sources("remove") == [1, 2]
    with pytest.raises(Conflict, match=r"door 7 is LOCKED; shut would make it SHUT"):
        DOOR.check("shut", Door.LOCKED, 7)
    with pytest.raises(Conflict, match=r"^door 7 is SHUT already$"):
        DOOR.check("shut", Door.SHUT, 7)


def test_the_diagram_shows_every_move_and_where_it_ends() -> None:
    lines = DOOR.mermaid().splitlines()
    assert lines[:2] == ["stateDiagram-v2", "    [*] --> OPEN"]
    assert "    SHUT --> LOCKED: lock" in lines
    assert lines[-2:] == ["    LOCKED --> [*]", "    GONE --> [*]"]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.noun)
def test_every_state_can_be_reached(machine: Machine[IntEnum]) -> None:
    reached = {machine.initial}
    for _ in machine.kind:
        reached |= {target for sources, target in machine.moves.values() if sources & reached}
    assert set(machine.kind) - reached <= machine.derived.keys()


def test_ended_tasks_stay_ended() -> None:
    """Unless somebody asks for another attempt."""
    for verb, (sources, _) in TASK.moves.items():
        assert verb == "rerun" or not sources & TASK_ENDS
    assert SESSION.sources("close") == [1, 2]
