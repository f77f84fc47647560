"""The states of a job, under SciCat's names. docs/states/job.md is drawn from this."""

from enum import IntEnum

from shared.runtime.machine import Machine


class JobState(IntEnum):
    """`jobStatusMessage`."""

    JOB_SUBMITTED = 1
    JOB_FORWARDED = 2
    IN_PROGRESS = 3
    FINISHED_SUCCESSFUL = 4
    FINISHED_WITH_DATASET_ERRORS = 5
    FINISHED_UNSUCCESSFUL = 6


S = JobState

JOB = Machine(
    "job",
    S.JOB_SUBMITTED,
    {
        "forward": (frozenset({S.JOB_SUBMITTED}), S.JOB_FORWARDED),
        "begin": (frozenset({S.JOB_SUBMITTED, S.JOB_FORWARDED}), S.IN_PROGRESS),
        "finish": (frozenset({S.IN_PROGRESS}), S.FINISHED_SUCCESSFUL),
        "refuse": (frozenset({S.JOB_SUBMITTED, S.JOB_FORWARDED, S.IN_PROGRESS}), S.FINISHED_WITH_DATASET_ERRORS),
        "fail": (frozenset({S.JOB_SUBMITTED, S.JOB_FORWARDED, S.IN_PROGRESS}), S.FINISHED_UNSUCCESSFUL),
    },
    kind=S,
)
