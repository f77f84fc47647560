-- The states of all tasks and results of a session.

-- name: visible_sizes
SELECT id, tasks FROM submissions WHERE session = :session AND id >= :start AND status = {submission.visible}
ORDER BY id LIMIT :most;

-- name: tasks_of_spans
-- What decides the state of the tasks of these submissions (whole ranges, in the order of ids).
SELECT t.* FROM unnest(:lows::uuid[], :highs::uuid[]) AS s(lo, hi) CROSS JOIN LATERAL (
    SELECT id, status, deps, remaining, attempt, partition, priority FROM tasks
    WHERE id >= s.lo AND id <= s.hi AND id > :after ORDER BY id LIMIT :most) AS t
ORDER BY t.id LIMIT :most;

-- name: results_of_spans
SELECT r.* FROM unnest(:lows::uuid[], :highs::uuid[]) AS s(lo, hi) CROSS JOIN LATERAL (
    SELECT id, status FROM results WHERE id > s.lo AND id <= s.hi AND id > :after ORDER BY id LIMIT :most) AS r
ORDER BY r.id LIMIT :most;

-- name: standalone_results
SELECT id, status FROM results WHERE session = :session AND standalone AND id > :after ORDER BY id LIMIT :most;

-- name: tasks
SELECT id, status, deps, remaining, attempt, partition, priority FROM tasks t
WHERE id = ANY(:tasks::uuid[]) AND session = :session AND NOT (t.parent IS NOT NULL AND is_hidden_v1(t.id));

-- name: results
SELECT id, status FROM results r WHERE id = ANY(:results::uuid[]) AND session = :session
  AND NOT (r.status = {result.created} AND r.owner IS NOT NULL AND is_hidden_v1(r.owner));
