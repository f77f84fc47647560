"""The phases of an offer and of the execution session that it becomes. docs/states/offer.md is drawn from this.

The phases and what a client may do in each are the ExecutionBroker's. Where its text leaves a move open, the table decides.
"""

from shared.contracts.execution import Phase as P
from shared.runtime.machine import Machine

_ACCEPTED = frozenset({P.ACCEPTED, P.WAITING, P.PREPARING, P.AVAILABLE, P.RUNNING})
"""Phases of an accepted offer that is not ending yet."""

MACHINE = Machine(
    "offer",
    P.INITIAL,
    {
        "offer": (frozenset({P.INITIAL}), P.OFFERED),
        "accept": (frozenset({P.OFFERED}), P.ACCEPTED),
        "reject": (frozenset({P.OFFERED}), P.REJECTED),
        "expire": (frozenset({P.OFFERED}), P.EXPIRED),
        "wait": (frozenset({P.ACCEPTED}), P.WAITING),
        "prepare": (frozenset({P.ACCEPTED, P.WAITING}), P.PREPARING),
        "be ready": (frozenset({P.ACCEPTED, P.PREPARING}), P.AVAILABLE),
        "run": (frozenset({P.AVAILABLE}), P.RUNNING),
        "end": (frozenset({P.AVAILABLE, P.RUNNING}), P.RELEASING),
        "complete": (frozenset({P.RELEASING}), P.COMPLETED),
        "release": (frozenset({P.INITIAL, P.OFFERED}) | _ACCEPTED, P.CANCELLED),
        "fail": (_ACCEPTED | {P.INITIAL, P.OFFERED, P.RELEASING}, P.FAILED),
    },
    kind=P,
)

ENDS = frozenset({P.REJECTED, P.EXPIRED, P.COMPLETED, P.FAILED, P.CANCELLED})
"""The phases in which an offer has ended."""

ASKED = {"accept": "ACCEPTED", "reject": "REJECTED", "release": "CANCELLED"}
"""The verbs that are the client's, and the phase that it asks for."""


def options(phase: P) -> list[str]:
    """The phases that a client may ask for now."""
    return [requested for verb, requested in ASKED.items() if phase in MACHINE.moves[verb][0]]
