"""The states of datasets and of their jobs, under SciCat's names, and what leads from one to another.

SciCat itself takes any text for these (its free strings are where clients go wrong); the values are its own, and so is the
meaning that its user interface gives them: archivable, retrievable, work in progress, user error, system error.
"""

from enum import IntEnum
from typing import TypeVar

from shared.contracts.errors import Conflict
from shared.runtime.machine import Machine

State = TypeVar("State", bound=IntEnum)


class ArchiveState(IntEnum):
    """`archiveStatusMessage`. The numbers are written to disk: never renumber."""

    FILES_NOT_READY_YET = 1  # registered, files are awaited
    DATASET_CREATED = 2  # packed and staged: may be archived
    STARTED = 3
    DATASET_ON_ARCHIVE_DISK = 4
    MISSING_FILES_ERROR = 5  # the user's: a file is missing, or is not what was registered
    SCHEDULE_ARCHIVE_JOB_FAILED = 6  # ours


class RetrieveState(IntEnum):
    """`retrieveStatusMessage`; NONE is the empty text."""

    NONE = 1
    STARTED = 2
    DATASET_RETRIEVED = 3
    DATASET_RETRIEVAL_FAILED = 4


class JobState(IntEnum):
    """`jobStatusMessage`."""

    JOB_SUBMITTED = 1
    JOB_FORWARDED = 2
    IN_PROGRESS = 3
    FINISHED_SUCCESSFUL = 4
    FINISHED_WITH_DATASET_ERRORS = 5
    FINISHED_UNSUCCESSFUL = 6


class BlockState(IntEnum):
    """How far a datablock is. Others see it from REGISTERED on."""

    PLANNED = 1
    PACKED = 2  # in staging
    REGISTERED = 3
    STORED = 4  # on long-term storage
    VALIDATED = 5  # read back from there, whole
    DAMAGED = 6  # found there other than it was written, or not at all


def wire(state: IntEnum) -> str:
    """How SciCat writes a state: `DATASET_ON_ARCHIVE_DISK` is `datasetOnArchiveDisk`."""
    if state is RetrieveState.NONE:
        return ""
    first, *rest = state.name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


INNER = frozenset({"take back", "damage", "heal", "repack", "give up"})
"""Verbs that the archiver itself chooses by what it finds; no request names them."""


def verb_to(machine: Machine[State], state: State) -> str:
    """The verb that leads to `state`, for those who name where they want to be; Conflict if that is only a beginning."""
    for verb, (_, target) in machine.moves.items():
        if target is state and verb not in INNER:
            return verb
    raise Conflict(f"{state.name} is where a {machine.noun} begins: nothing leads back to it")


A, R, J, B = ArchiveState, RetrieveState, JobState, BlockState

ARCHIVE = Machine(
    "dataset",
    A.FILES_NOT_READY_YET,
    {
        "pack": (frozenset({A.FILES_NOT_READY_YET, A.MISSING_FILES_ERROR}), A.DATASET_CREATED),
        "start": (frozenset({A.DATASET_CREATED, A.SCHEDULE_ARCHIVE_JOB_FAILED}), A.STARTED),
        "archive": (frozenset({A.STARTED}), A.DATASET_ON_ARCHIVE_DISK),
        "miss": (frozenset({A.FILES_NOT_READY_YET, A.MISSING_FILES_ERROR}), A.MISSING_FILES_ERROR),
        "fail": (frozenset({A.DATASET_CREATED, A.STARTED}), A.SCHEDULE_ARCHIVE_JOB_FAILED),
        "damage": (frozenset({A.DATASET_ON_ARCHIVE_DISK}), A.SCHEDULE_ARCHIVE_JOB_FAILED),
        "heal": (frozenset({A.SCHEDULE_ARCHIVE_JOB_FAILED}), A.DATASET_ON_ARCHIVE_DISK),
    },
    kind=A,
    sets={"uploadable": frozenset({A.FILES_NOT_READY_YET, A.MISSING_FILES_ERROR})},
)

RETRIEVE = Machine(
    "retrieval",
    R.NONE,
    {
        "begin": (frozenset(R), R.STARTED),
        "retrieve": (frozenset({R.STARTED, R.DATASET_RETRIEVED}), R.DATASET_RETRIEVED),
        "lose": (frozenset({R.STARTED, R.DATASET_RETRIEVAL_FAILED}), R.DATASET_RETRIEVAL_FAILED),
    },
    kind=R,
)

JOB = Machine(
    "job",
    J.JOB_SUBMITTED,
    {
        "forward": (frozenset({J.JOB_SUBMITTED}), J.JOB_FORWARDED),
        "begin": (frozenset({J.JOB_SUBMITTED, J.JOB_FORWARDED}), J.IN_PROGRESS),
        "finish": (frozenset({J.IN_PROGRESS}), J.FINISHED_SUCCESSFUL),
        "refuse": (frozenset({J.JOB_SUBMITTED, J.JOB_FORWARDED, J.IN_PROGRESS}), J.FINISHED_WITH_DATASET_ERRORS),
        "fail": (frozenset({J.JOB_SUBMITTED, J.JOB_FORWARDED, J.IN_PROGRESS}), J.FINISHED_UNSUCCESSFUL),
    },
    kind=J,
)

BLOCK = Machine(
    "datablock",
    B.PLANNED,
    {
        "pack": (frozenset({B.PLANNED}), B.PACKED),
        "register": (frozenset({B.PACKED}), B.REGISTERED),
        "store": (frozenset({B.REGISTERED}), B.STORED),
        "validate": (frozenset({B.STORED}), B.VALIDATED),
        "take back": (frozenset({B.STORED, B.VALIDATED}), B.REGISTERED),
        "damage": (frozenset({B.VALIDATED}), B.DAMAGED),
        "heal": (frozenset({B.DAMAGED}), B.VALIDATED),
        "repack": (frozenset({B.DAMAGED}), B.REGISTERED),
        "give up": (frozenset({B.REGISTERED, B.STORED}), B.DAMAGED),
    },
    kind=B,
    sets={"visible": frozenset({B.REGISTERED, B.STORED, B.VALIDATED, B.DAMAGED})},
)

MACHINES = (ARCHIVE, RETRIEVE, JOB, BLOCK)
