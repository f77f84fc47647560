-- Sessions purged and deleted. Everything by ranges of ids: what has gone before is not looked at again.

-- name: expired
SELECT id FROM sessions WHERE expires_at < now() AND NOT deleting ORDER BY expires_at LIMIT 20;

-- name: begin_operation
UPDATE sessions SET operation = :operation WHERE id = :session RETURNING *;

-- name: end_operation
UPDATE sessions SET operation = NULL WHERE id = :session AND operation = :operation;

-- name: mark_deleting
UPDATE sessions SET deleting = true WHERE id = :session;

-- name: delete_results
UPDATE results SET status = {result.deleted}, data = NULL, object = NULL WHERE id IN (
    SELECT id FROM results WHERE id > :after AND id <= :last AND status <> {result.deleted} ORDER BY id LIMIT :most)
RETURNING id, session;

-- name: delete_standalone
UPDATE results SET status = {result.deleted}, data = NULL, object = NULL WHERE id IN (
    SELECT id FROM results WHERE session = :session AND standalone AND id > :after AND status <> {result.deleted}
    ORDER BY id LIMIT :most)
RETURNING id, session;

-- name: bound_tasks
-- The last of the first :most after :after; none if there are fewer.
SELECT id FROM tasks WHERE id > :after AND id <= :last ORDER BY id OFFSET :most - 1 LIMIT 1;

-- name: bound_results
SELECT id FROM results WHERE id > :after AND id <= :last ORDER BY id OFFSET :most - 1 LIMIT 1;

-- name: drop_tasks
-- With all that is kept of them. Returns how many of them the windows count as outstanding, by partition.
WITH logs AS (
    DELETE FROM task_logs WHERE task > :after AND task <= :last
), history AS (
    DELETE FROM attempts WHERE task > :after AND task <= :last
), held AS (
    DELETE FROM running WHERE task > :after AND task <= :last
), gone AS (
    DELETE FROM tasks WHERE id > :after AND id <= :last
    RETURNING id, partition, priority, status, deps, attempt, inputs, payload_result
), edges AS (
    DELETE FROM dependencies d USING (
        SELECT id, unnest(inputs || payload_result) AS result FROM gone
        WHERE inputs IS NOT NULL OR payload_result IS NOT NULL) AS g
    WHERE d.result = g.result AND d.task = g.id
)
SELECT g.partition, count(*) AS tasks FROM gone g
LEFT JOIN lanes l ON l.submission = :submission AND l.partition = g.partition AND l.priority = g.priority
WHERE g.status = {task.submitted} OR (g.status = {task.pending} AND g.deps = 0 AND g.attempt = 0
    AND line_of_v1(g.id) < coalesce(l.cursor, 0)) GROUP BY g.partition;

-- name: drop_results
DELETE FROM results WHERE id > :after AND id <= :last;

-- name: drop_standalone
DELETE FROM results WHERE id IN (
    SELECT id FROM results WHERE session = :session AND standalone AND id > :after ORDER BY id LIMIT :most) RETURNING id;

-- name: drop_submission
DELETE FROM submissions WHERE id = :submission;

-- name: drop_session
DELETE FROM sessions WHERE id = :session RETURNING *;
