-- name: running_now
-- What is known to run, and whether it may be preempted: in a closed session it would not come back.
SELECT r.task, r.attempt, r.worker, r.since, t.partition, t.priority,
       t.status = {task.processing} AND s.status IN ({session.open}) AS preemptible
FROM running r JOIN tasks t ON t.id = r.task JOIN sessions s ON s.id = t.session WHERE t.status IN ({task.executing});

-- name: preempt_tasks
-- As a retry, but none is lost by it. Attempts that have ended meanwhile are left alone.
WITH live AS MATERIALIZED (
    SELECT id FROM sessions WHERE id IN (SELECT session FROM tasks WHERE id = ANY(:tasks::uuid[]))
      AND status IN ({session.open}) ORDER BY id FOR SHARE
), again AS (
    UPDATE tasks t SET status = {task.pending}, attempt = t.attempt + 1, uncounted = t.uncounted + 1, worker = NULL,
        started_at = NULL
    FROM unnest(:tasks::uuid[], :attempts::smallint[], :workers::text[], :reasons::text[]) AS l(id, attempt, worker, why)
    WHERE t.id = l.id AND t.attempt = l.attempt AND t.status = {task.processing} AND t.attempt < 32000
      AND t.remaining = 0 AND t.session IN (SELECT id FROM live)
    RETURNING t.id, t.attempt, t.session, t.partition, t.priority, l.worker, l.why
), history AS (
    INSERT INTO attempts (task, attempt, worker, error) SELECT id, attempt - 1, worker, why FROM again ON CONFLICT DO NOTHING
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM again)
), queued AS (
    INSERT INTO ready (partition, priority, session, task) SELECT partition, priority, session, id FROM again
    ON CONFLICT DO NOTHING
)
SELECT id, session, partition, attempt - 1 AS attempt, worker FROM again;
