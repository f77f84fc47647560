"""Reports of many messages become one batch: the last word on each task."""

from uuid import UUID, uuid4

from services.scheduler.compute.completion.batch import Batch
from shared.contracts.compute import Value
from shared.contracts.work import Completed, Failed, Output, Progress, ReportBatch, Started

TASK, OTHER, RESULT = uuid4(), uuid4(), uuid4()


def completed(task: UUID = TASK, attempt: int = 0, data: bytes = b"x") -> Completed:
    return Completed(task, attempt, [Output(RESULT, len(data), data)], 0.5)


def test_a_task_that_started_and_ended_has_only_ended() -> None:
    both = [Started(TASK, 0, "w"), completed()]
    for reports in (both, both[::-1]):
        batch = Batch([ReportBatch("w", [report]) for report in reports])
        assert (batch.started, list(batch.completed)) == ({}, [TASK])
    assert list(Batch([ReportBatch("w", [Started(OTHER, 0, "w"), completed()])]).started) == [OTHER]


def test_the_latest_attempt_counts_and_the_first_report_of_it() -> None:
    batch = Batch([ReportBatch("w", [completed(attempt=1, data=b"first"), completed(attempt=0), completed(attempt=1)])])
    assert batch.completed[TASK].attempt == 1
    assert batch.values() == {RESULT: Value(RESULT, 5, b"first")}


def test_failures_keep_who_told_them() -> None:
    failed = Failed(TASK, 0, "lost", "why")
    batch = Batch([ReportBatch("w1", [failed, Progress(OTHER, 0, 0.5)])])
    assert (batch.failed, batch.workers) == ([failed], {TASK: "w1"})
    assert batch.progress == [Progress(OTHER, 0, 0.5)]


def test_columns_are_as_long_as_what_they_tell() -> None:
    two = Completed(OTHER, 3, [Output(uuid4(), 1, b"a"), Output(uuid4(), 70_000, object="results/key")])
    columns = Batch([ReportBatch("w", [completed(), two])]).columns()
    tasks, attempts, counts, ids, owners, sizes, data, objects = columns.values()
    assert (tasks, attempts, counts) == ([TASK, OTHER], [0, 3], [1, 2])
    assert owners == [TASK, OTHER, OTHER]
    assert len(ids) == len(sizes) == 3
    assert (data, objects) == ([b"x", b"a", None], [None, None, "results/key"])


def test_seconds_tell_one_example_of_each_function() -> None:
    batch = Batch([ReportBatch("w", [completed()])])
    rows = [
        {"kind": "ended", "id": TASK, "partition": 7, "function": "f"},
        {"kind": "event", "id": OTHER, "partition": 7, "function": "g"},
    ]
    assert batch.seconds(rows) == [(7, "f", 0.5)]
