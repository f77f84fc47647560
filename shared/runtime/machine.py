"""States are tables: which verb leads from which states to which. Guards, errors and diagrams all come from here."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Generic, TypeVar

from shared.contracts.errors import Conflict

State = TypeVar("State", bound=IntEnum)


class Machine(Generic[State]):
    """The legal transitions of one entity, and the names of its sets of states.

    `noun`: the entity, as SQL names it in `{noun.state}`.
    `moves`: verb → (the states it may start from, where it leads).
    `sets`: name → states, for guards that several statements share: SQL says `{noun.name}`.
    `derived`: states that no statement writes into the entity's row, each with how a reader comes to it.
    Raises ValueError if a set has the name of a state, or no states.
    """

    def __init__(
        self,
        noun: str,
        initial: State,
        moves: Mapping[str, tuple[frozenset[State], State]],
        *,
        kind: type[State],
        sets: Mapping[str, frozenset[State]] | None = None,
        derived: Mapping[State, str] | None = None,
    ) -> None:
        self.noun, self.initial, self.moves, self.kind = noun, initial, dict(moves), kind
        self.sets, self.derived = dict(sets or {}), dict(derived or {})
        for name, states in self.sets.items():
            if name in self.states or not states:
                raise ValueError(f"{noun}.{name}: a set needs states, and a name that no state has")

    @property
    def states(self) -> dict[str, State]:
        """Every state by its name in lower case, as SQL and the wire write it."""
        return {state.name.lower(): state for state in self.kind}

    def sources(self, verb: str) -> list[int]:
        """The states from which `verb` is legal, as the rows store them: the guard of an UPDATE."""
        return sorted(int(state) for state in self.moves[verb][0])

    def target(self, verb: str) -> State:
        """Where `verb` leads."""
        return self.moves[verb][1]

    def check(self, verb: str, state: State, name: object = "") -> State:
        """Where `verb` leads from `state`; Conflict naming both states if it is not legal."""
        sources, target = self.moves[verb]
        if state not in sources:
            raise self.refusal(verb, state, name)
        return target

    def refusal(self, verb: str, state: State, name: object = "") -> Conflict:
        """The error of asking for `verb` in `state`; it names both states. `name`: which entity it is about."""
        target = self.moves[verb][1]
        which = f"{self.noun} {name}".strip()
        if state is target:
            return Conflict(f"{which} is {state.name} already")
        return Conflict(
            f"{which} is {state.name}; {verb} would make it {target.name}, which is not possible from there"
        )

    def mermaid(self) -> str:
        """The state diagram for docs/states/. A note at each state that no row holds says how it is derived."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial.name}"]
        for verb, (sources, target) in self.moves.items():
            lines += [f"    {s.name} --> {target.name}: {verb}" for s in sorted(sources)]
        for state, how in self.derived.items():  # (a note ends at a colon or a semicolon)
            lines += [f"    note right of {state.name} : {how}"]
        leaving = {s for sources, target in self.moves.values() for s in sources if s != target}
        lines += [f"    {s.name} --> [*]" for s in self.kind if s not in leaving]
        return "\n".join(lines) + "\n"
