"""How a chain is written down: as data, in the order of its diagram.

Functions get a `StepContext` and the chain's state, a msgspec Struct, and return the new state (or None: as it is now).
They run at least once, so they must be harmless when they run again.
"""

import re
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Final, Generic, TypeVar

import msgspec

from shared.chain.context import StepContext
from shared.chain.machine import Fault
from shared.runtime.retry import Backoff

S = TypeVar("S", bound=msgspec.Struct)
Function = Callable[[StepContext, S], Awaitable[S | None]]

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,62}$")

RETRY_BACKOFF: Final = Backoff(first=1, factor=2, ceiling=300)
"""Pauses between the tries of a `retry` step, and of undoing: 1 s, 2 s, … 5 min."""
CRITICAL_BACKOFF: Final = Backoff(first=1, factor=4, ceiling=60)
"""Pauses between the tries of a `critical` step."""
CRITICAL_TRIES: Final = 3


WHENEVER: Final = "*"
"""For `Chain.cancellable_before`: at every step."""


class Kind(Enum):
    """The kinds of steps that the diagrams of chains have."""

    STEP = "step"
    CRITICAL = "critical"
    RETRY = "retry"


class Step(msgspec.Struct, frozen=True):
    """tries          most tries that may fail by system errors (None: no limit)
    give_up_after  seconds from when the step was first due (None: no limit)
    timeout        seconds that one try may take (None: no limit); longer is a system error
    undo           takes back what the step did, in whole or in part; runs only if the chain does not get to its end
    """

    name: str
    kind: Kind
    run: Function[Any]
    tries: int | None
    backoff: Backoff
    give_up_after: float | None = None
    timeout: float | None = None
    undo: Function[Any] | None = None


class Action(msgspec.Struct, frozen=True):
    """What is done at one place of a chain: a step, an undo, a handler."""

    name: str
    run: Function[Any]
    timeout: float | None = None


def step(run: Function[S], *, name: str = "", timeout: float | None = None, undo: Function[S] | None = None) -> Step:
    """Runs; an error fails the chain."""
    return Step(name or _name(run), Kind.STEP, run, 1, CRITICAL_BACKOFF, None, timeout, undo)


def critical(
    run: Function[S],
    *,
    name: str = "",
    tries: int = CRITICAL_TRIES,
    backoff: Backoff = CRITICAL_BACKOFF,
    timeout: float | None = None,
    undo: Function[S] | None = None,
) -> Step:
    """Must succeed, or the chain fails and undoes: a few tries for system errors, none for a user's."""
    return Step(name or _name(run), Kind.CRITICAL, run, tries, backoff, None, timeout, undo)


def retry(
    run: Function[S],
    *,
    name: str = "",
    tries: int | None = None,
    give_up_after: float | None = None,
    backoff: Backoff = RETRY_BACKOFF,
    timeout: float | None = None,
    undo: Function[S] | None = None,
) -> Step:
    """A loop that must succeed in the end: tried again for ever, unless `tries` or `give_up_after` bound it."""
    return Step(name or _name(run), Kind.RETRY, run, tries, backoff, give_up_after, timeout, undo)


def _name(run: Function[Any]) -> str:
    return str(getattr(run, "__name__", ""))


class Chain(Generic[S]):
    """`undo`: takes back what no single step stands for. Then, last, one of the handlers reports it.

    When a chain fails or is cancelled, in this order: the undo functions of the failed step and of those before it, last
    first; the chain's own `undo`; `on_user_error`, `on_system_error` or `on_cancel`. These too may run more than once, and
    are tried until they succeed (a UserError in one of them is noted, and passed over).

    `cancellable_before`: the step before which its owner may cancel it, as an operation: what was done until then is undone. Empty:
    never; WHENEVER: at every step.
    """

    def __init__(
        self,
        name: str,
        state: type[S],
        *steps: Step,
        version: int = 1,
        undo: Function[S] | None = None,
        on_user_error: Function[S] | None = None,
        on_system_error: Function[S] | None = None,
        on_cancel: Function[S] | None = None,
        cancellable_before: str = "",
    ) -> None:
        self.name, self.state, self.steps, self.version = name, state, steps, version
        self._undo = undo
        self._handlers = {
            Fault.USER: ("on-user-error", on_user_error),
            Fault.SYSTEM: ("on-system-error", on_system_error),
            Fault.CANCELLED: ("on-cancel", on_cancel),
        }
        names = [one.name for one in steps]
        if not steps or len(set(names)) != len(names) or not all(map(_NAME.match, [name, *names])):
            raise ValueError(f"chain {name!r}: needs steps with different names of the form {_NAME.pattern}: {names}")

        ends = {"": 0, WHENEVER: len(steps)}
        self._cancellable = ends[cancellable_before] if cancellable_before in ends else names.index(cancellable_before)

    def is_cancellable(self, step: int) -> bool:
        """Whether its owner may cancel it while it is at step number `step`."""
        return step < self._cancellable

    def plan(self, failed_at: int, fault: Fault) -> list[Action]:
        """What is done after step number `failed_at` has failed. Names have a hyphen: no step's name has one."""
        plan = [Action(f"undo-{one.name}", one.undo) for one in reversed(self.steps[: failed_at + 1]) if one.undo]
        if self._undo:
            plan.append(Action("undo-chain", self._undo))
        name, handler = self._handlers.get(fault, ("", None))
        if handler:
            plan.append(Action(name, handler))
        return plan

    def mermaid(self) -> str:
        """The chain as a flow chart, for docs."""
        lines = ["flowchart LR"]
        for at, one in enumerate(self.steps):
            lines.append(f'    s{at}["{one.kind.value}: {one.name}"]')
            if at:
                lines.append(f"    s{at - 1} --> s{at}")
        lines.append(f"    s{len(self.steps) - 1} --> done([done])")
        return "\n".join(lines) + "\n"


class Registry:
    """The chains that a service knows; `chains`: by name and version."""

    def __init__(self, *chains: Chain[Any]) -> None:
        self.chains = {(chain.name, chain.version): chain for chain in chains}
        if len(self.chains) != len(chains):
            raise ValueError("two chains have the same name and version")

    def find(self, kind: str, version: int) -> Chain[Any] | None:
        """The declaration of a chain's row; None if this service does not know it."""
        return self.chains.get((kind, version))

    def __contains__(self, chain: Chain[Any]) -> bool:
        return self.chains.get((chain.name, chain.version)) is chain
