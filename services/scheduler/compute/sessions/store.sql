-- Sessions.

-- name: create
INSERT INTO sessions (id, name, status, owner, partitions, options, created_at, expires_at, close_when_done)
VALUES (:id, :name, {session.running}, :owner, :partitions, :options, now(), now() + make_interval(secs => :ttl),
        :close_when_done)
RETURNING *;

-- name: find
SELECT * FROM sessions WHERE id = :session;

-- name: hold
-- It cannot close, nor be cancelled or purged, before what we do in it is there.
SELECT * FROM sessions WHERE id = :session FOR SHARE;

-- name: lock
SELECT * FROM sessions WHERE id = :session FOR UPDATE;

-- name: move
-- The guard: only from the states that the machine allows. Submissions end with RUNNING and PAUSED. What is chosen after a
-- resume is of another epoch than what a pause took back.
UPDATE sessions SET status = :status::smallint, version = version + 1, pending_cleanup = :cleanup, changed_at = now(),
    epoch = CASE WHEN :status::smallint = {session.running} THEN epoch + 1 ELSE epoch END,
    client_submission = client_submission AND :status::smallint IN ({session.open}),
    worker_submission = worker_submission AND :status::smallint IN ({session.open}),
    closed_at = CASE WHEN :status::smallint = {session.closed} THEN now() ELSE closed_at END,
    cancelled_at = CASE WHEN :status::smallint = {session.cancelled} THEN now() ELSE cancelled_at END,
    purged_at = CASE WHEN :status::smallint = {session.purged} THEN now() ELSE purged_at END
WHERE id = :session AND status = ANY(:sources::smallint[]) RETURNING *;

-- name: reopen
UPDATE sessions SET status = {session.running}, version = version + 1, changed_at = now(), closed_at = NULL,
    closed_itself = false
WHERE id = :session AND status = {session.closed} AND closed_itself AND operation IS NULL AND NOT deleting RETURNING *;

-- name: stop_submissions
UPDATE sessions SET client_submission = client_submission AND NOT :client, worker_submission = worker_submission AND NOT :worker,
    version = version + 1, changed_at = now() WHERE id = :session RETURNING *;

-- name: count_tasks
-- Ready tasks below a lane's cursor count as queued, if the session runs: they were chosen without a write.
-- One statement: a task that has completed is never counted without those that it submitted.
SELECT t.status, :running::boolean AND t.deps = 0 AND t.status = {task.pending} AND t.attempt = 0
        AND line_of_v1(t.id) < coalesce(l.cursor, 0) AS chosen, count(*) AS tasks
FROM submissions s JOIN tasks t ON t.id >= s.id AND t.id <= last_task_v1(s.id)
LEFT JOIN lanes l ON l.submission = s.id AND l.partition = t.partition AND l.priority = t.priority
WHERE s.session = :session AND s.status = {submission.visible} GROUP BY 1, 2;
