"""States are tables: which verb leads from which states to which. Guards, errors and diagrams all come from here."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Generic, TypeVar

from shared.contracts.errors import Conflict

State = TypeVar("State", bound=IntEnum)


class Machine(Generic[State]):
    """The legal transitions of one entity. `moves`: verb → (the states it may start from, where it leads)."""

    def __init__(
        self, noun: str, initial: State, moves: Mapping[str, tuple[frozenset[State], State]], *, kind: type[State]
    ) -> None:
        self.noun, self.initial, self.moves, self.kind = noun, initial, dict(moves), kind

    def sources(self, verb: str) -> list[int]:
        """The states from which `verb` is legal, as the rows store them: the guard of an UPDATE."""
        return sorted(int(state) for state in self.moves[verb][0])

    def target(self, verb: str) -> State:
        return self.moves[verb][1]

    def check(self, verb: str, state: State, name: object = "") -> State:
        """Where `verb` leads from `state`; Conflict naming both states if it is not legal."""
        sources, target = self.moves[verb]
        if state not in sources:
            raise self.refusal(verb, state, name)
        return target

    def refusal(self, verb: str, state: State, name: object = "") -> Conflict:
        target = self.moves[verb][1]
        which = f"{self.noun} {name}".strip()
        if state is target:
            return Conflict(f"{which} is {state.name} already")
        return Conflict(
            f"{which} is {state.name}; {verb} would make it {target.name}, which is not possible from there"
        )

    def mermaid(self) -> str:
        """The state diagram for docs/states/."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial.name}"]
        for verb, (sources, target) in self.moves.items():
            lines += [f"    {s.name} --> {target.name}: {verb}" for s in sorted(sources)]
        leaving = {s for sources, target in self.moves.values() for s in sources if s != target}
        lines += [f"    {s.name} --> [*]" for s in self.kind if s not in leaving]
        return "\n".join(lines) + "\n"
