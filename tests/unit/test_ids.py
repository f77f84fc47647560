"""Ids: their bits, their order, and what follows from a submission's."""

from uuid import UUID

from shared.contracts import ids


def test_a_uuid7_has_its_version_variant_and_time() -> None:
    value = ids.uuid7(0x123456789ABC)
    assert (value.version, value.variant) == (7, "specified in RFC 4122")
    assert value.int >> 80 == 0x123456789ABC
    assert ids.uuid7() != ids.uuid7()
    assert ids.uuid7(1) < ids.uuid7(2)


def test_a_submission_is_known_by_its_clear_bits() -> None:
    submission = ids.submission_id()
    assert ids.is_submission(submission)
    assert not ids.is_submission(UUID(int=submission.int | 1))
    assert not ids.is_submission(UUID(int=submission.int & ~(0xF << 76) | 4 << 76))
    assert len({ids.submission_id(1) for _ in range(1000)}) == 1000


def test_tasks_and_results_follow_from_it() -> None:
    submission = UUID("01932f5e-1f2a-7abc-8def-012200000000")
    assert str(ids.task_id(submission, 258)) == "01932f5e-1f2a-7abc-8def-012200000102"
    assert str(ids.result_id(submission, 258, 3)) == "01932f5e-1f2a-7abc-8def-012300010203"
    last = ids.result_id(submission, ids.MAX_TASKS - 1, ids.MAX_OUTPUTS - 1)
    assert str(last) == "01932f5e-1f2a-7abc-8def-0123ffffffff"
    assert ids.submission_of(last) == submission
    assert ids.line_of(ids.task_id(submission, 258)) == 258


def test_attempts_are_named_from_the_first_retry_on() -> None:
    task = ids.task_id(ids.submission_id(), 0)
    assert ids.attempt_name(task, 0) == str(task)
    assert ids.attempt_name(task, 2) == f"{task}###2"
