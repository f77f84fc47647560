-- Submissions and their chunks.

-- name: open
-- The session is held so that it cannot close before our rows are there.
WITH held AS (
    SELECT * FROM sessions WHERE id = :session FOR SHARE
), opened AS (
    INSERT INTO submissions (id, session, owner, status, options, trace)
    SELECT :submission, held.id, :owner, {submission.open}, :options, :trace FROM held
    WHERE held.status IN ({session.open}) AND held.client_submission
    ON CONFLICT (id) DO NOTHING RETURNING id
)
SELECT held.*, (SELECT id FROM opened) IS NOT NULL AS opened FROM held;

-- name: find
SELECT s.*, (SELECT count(*) FROM chunks c WHERE c.submission = s.id) AS chunks FROM submissions s WHERE s.id = :submission;

-- name: hold
SELECT * FROM submissions WHERE id = :submission FOR SHARE;

-- name: lock
SELECT * FROM submissions WHERE id = :submission FOR UPDATE;

-- name: ids_of_session
SELECT id FROM submissions WHERE session = :session AND (:hidden OR status <> {submission.open} OR parent IS NULL) ORDER BY id;

-- name: visible_of_session
SELECT id FROM submissions WHERE session = :session AND status = {submission.visible} ORDER BY id;

-- name: show
UPDATE submissions SET status = {submission.visible}, tasks = :tasks, applications = :applications WHERE id = :submission;

-- name: refuse
UPDATE submissions SET status = {submission.refused}, refusal = :refusal
WHERE id = :submission AND status = {submission.open};

-- name: find_chunk
SELECT digest, tasks FROM chunks WHERE submission = :submission AND number = :number;

-- name: add_chunk
INSERT INTO chunks (submission, number, first_line, tasks, digest, cross_chunk, outside, claims, applications)
VALUES (:submission, :number, :first, :tasks, :digest, :cross_chunk, :outside, :claims, :applications);

-- name: chunk_totals
SELECT count(*) AS chunks, coalesce(sum(tasks), 0) AS tasks, coalesce(max(number), -1) AS last,
       bool_and(first_line = before) AS contiguous, bool_or(cross_chunk) AS cross_chunk, bool_or(outside) AS outside,
       bool_or(claims) AS claims, bool_or(applications) AS applications
FROM (SELECT c.*, sum(tasks) OVER (ORDER BY number) - tasks AS before FROM chunks c WHERE submission = :submission) AS c;

-- name: drop_chunks
DELETE FROM chunks WHERE submission = :submission;
