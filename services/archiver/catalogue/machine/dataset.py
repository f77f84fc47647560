"""How far a dataset's archival is, under SciCat's names. docs/states/dataset.md is drawn from this."""

from enum import IntEnum

from shared.runtime.machine import Machine


class ArchiveState(IntEnum):
    """`archiveStatusMessage`. The numbers are written to disk: never renumber."""

    FILES_NOT_READY_YET = 1  # registered, files are awaited
    DATASET_CREATED = 2  # packed and staged: may be archived
    STARTED = 3
    DATASET_ON_ARCHIVE_DISK = 4
    MISSING_FILES_ERROR = 5  # the user's: a file is missing, or is not what was registered
    SCHEDULE_ARCHIVE_JOB_FAILED = 6  # ours


S = ArchiveState

ARCHIVE = Machine(
    "dataset",
    S.FILES_NOT_READY_YET,
    {
        "pack": (frozenset({S.FILES_NOT_READY_YET, S.MISSING_FILES_ERROR}), S.DATASET_CREATED),
        "start": (frozenset({S.DATASET_CREATED, S.SCHEDULE_ARCHIVE_JOB_FAILED}), S.STARTED),
        "archive": (frozenset({S.STARTED}), S.DATASET_ON_ARCHIVE_DISK),
        "miss": (frozenset({S.FILES_NOT_READY_YET, S.MISSING_FILES_ERROR}), S.MISSING_FILES_ERROR),
        "fail": (frozenset({S.DATASET_CREATED, S.STARTED}), S.SCHEDULE_ARCHIVE_JOB_FAILED),
        "damage": (frozenset({S.DATASET_ON_ARCHIVE_DISK}), S.SCHEDULE_ARCHIVE_JOB_FAILED),
        "heal": (frozenset({S.SCHEDULE_ARCHIVE_JOB_FAILED}), S.DATASET_ON_ARCHIVE_DISK),
    },
    kind=S,
    sets={"uploadable": frozenset({S.FILES_NOT_READY_YET, S.MISSING_FILES_ERROR})},
)
