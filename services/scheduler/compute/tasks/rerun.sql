-- Tasks that have failed are run again.

-- name: failed_tasks
SELECT id FROM tasks WHERE id > :after AND id <= :last AND status = ANY(:statuses::smallint[]) ORDER BY id LIMIT :most;

-- name: hold_needs
-- What those that are to run again need, and those that failed because of them: who aborts or deletes one of these does it
-- before, and is seen, or finds them waiting afterwards.
WITH RECURSIVE again(task) AS (
    SELECT id FROM tasks WHERE id = ANY(:tasks::uuid[]) AND session = :session AND status IN ({task.rerunnable})
    UNION
    SELECT t.id FROM again a JOIN tasks o ON o.id = a.task CROSS JOIN unnest(o.outputs) AS made(result)
    JOIN dependencies d ON d.result = made.result JOIN tasks t ON t.id = d.task
    WHERE t.status = {task.error} AND t.remaining > 0
)
SELECT r.id FROM results r WHERE r.status IN ({result.usable}) AND r.id IN (
    SELECT need.result FROM again a JOIN tasks t ON t.id = a.task
    CROSS JOIN unnest(t.inputs || t.payload_result) AS need(result))
ORDER BY r.id FOR SHARE OF r;

-- name: rerun
SELECT * FROM rerun_v1(:session, :tasks, :partitions, :credits);

-- name: hindrances
-- Why tasks cannot run again: of each the first result that it needs, or makes, and that cannot come.
SELECT t.id, t.status, r.id AS result, r.status AS state, r.owner, r.makes FROM tasks t LEFT JOIN LATERAL (
    SELECT r.id, r.status, r.owner, n.makes FROM (
        SELECT unnest(t.inputs || t.payload_result) AS result, false AS makes
        UNION ALL SELECT unnest(t.outputs), true) AS n
    JOIN results r ON r.id = n.result
    WHERE r.status = {result.deleted} OR (r.status = {result.aborted} AND NOT n.makes)
    ORDER BY n.makes, r.status DESC, r.id LIMIT 1) AS r ON true
WHERE t.id = ANY(:tasks::uuid[]) ORDER BY t.id;
