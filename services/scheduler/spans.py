"""Which ids the tasks and results of a submission can have: what belongs to it is read as a range of the primary key."""

from uuid import UUID


def task_span(submission: UUID) -> tuple[UUID, UUID]:
    """The first and the last id that a task of a submission can have."""
    return submission, UUID(int=submission.int | (1 << 32) - 1)


def result_span(submission: UUID) -> tuple[UUID, UUID]:
    """The id below the first and the last one that a result of a submission can have."""
    low = submission.int | 1 << 32
    return UUID(int=low - 1), UUID(int=low | (1 << 32) - 1)
