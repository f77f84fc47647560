"""The states of a submission. docs/states/submission.md is drawn from this."""

from shared.contracts.states import SubmissionStatus as V
from shared.runtime.machine import Machine

SUBMISSION = Machine(
    "submission",
    V.OPEN,
    {
        "show": (frozenset({V.OPEN}), V.VISIBLE),
        "refuse": (frozenset({V.OPEN}), V.REFUSED),
    },
    kind=V,
)
