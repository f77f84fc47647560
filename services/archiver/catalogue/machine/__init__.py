"""The states of datasets, datablocks and jobs, and what leads from one to another: a file for each machine.

SciCat itself takes any text for these (its free strings are where clients go wrong); the values are its own, and so is the
meaning that its user interface gives them: archivable, retrievable, work in progress, user error, system error.
"""

from enum import IntEnum
from typing import TypeVar

from services.archiver.catalogue.machine.datablock import BLOCK, BlockState
from services.archiver.catalogue.machine.dataset import ARCHIVE, ArchiveState
from services.archiver.catalogue.machine.job import JOB, JobState
from services.archiver.catalogue.machine.retrieval import RETRIEVE, RetrieveState
from shared.contracts.errors import Conflict
from shared.runtime.machine import Machine

State = TypeVar("State", bound=IntEnum)

MACHINES = (ARCHIVE, RETRIEVE, JOB, BLOCK)

INNER = frozenset({"take back", "damage", "heal", "repack", "give up"})
"""Verbs that the archiver itself chooses by what it finds; no request names them."""


def wire(state: IntEnum) -> str:
    """How SciCat writes a state: `DATASET_ON_ARCHIVE_DISK` is `datasetOnArchiveDisk`."""
    if state is RetrieveState.NONE:
        return ""
    first, *rest = state.name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def verb_to(machine: Machine[State], state: State) -> str:
    """The verb that leads to `state`, for those who name where they want to be; Conflict if that is only a beginning."""
    for verb, (_, target) in machine.moves.items():
        if target is state and verb not in INNER:
            return verb
    raise Conflict(f"{state.name} is where a {machine.noun} begins: nothing leads back to it")


__all__ = [
    "ARCHIVE", "BLOCK", "INNER", "JOB", "MACHINES", "RETRIEVE",
    "ArchiveState", "BlockState", "JobState", "RetrieveState",
    "verb_to", "wire",
]  # fmt: skip
