"""How far a dataset's retrieval is, under SciCat's names. docs/states/retrieval.md is drawn from this."""

from enum import IntEnum

from shared.runtime.machine import Machine


class RetrieveState(IntEnum):
    """`retrieveStatusMessage`; NONE is the empty text."""

    NONE = 1
    STARTED = 2
    DATASET_RETRIEVED = 3
    DATASET_RETRIEVAL_FAILED = 4


S = RetrieveState

RETRIEVE = Machine(
    "retrieval",
    S.NONE,
    {
        "begin": (frozenset(S), S.STARTED),
        "retrieve": (frozenset({S.STARTED, S.DATASET_RETRIEVED}), S.DATASET_RETRIEVED),
        "lose": (frozenset({S.STARTED, S.DATASET_RETRIEVAL_FAILED}), S.DATASET_RETRIEVAL_FAILED),
    },
    kind=S,
)
