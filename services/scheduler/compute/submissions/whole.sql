-- What only the whole of a submission can show.

-- name: dangling
SELECT d.task FROM dependencies d LEFT JOIN results r ON r.id = d.result
WHERE d.task >= :first AND d.task <= :last AND d.result >= :first AND d.result <= :last_result AND r.id IS NULL LIMIT 1;

-- name: lock_graph
SELECT locks.lock('graph.' || :session::text);

-- name: cycle
-- Lines refer to earlier lines only: what comes back to itself passes a result that existed before and is claimed here.
WITH RECURSIVE reach(origin, task) AS (
    SELECT t.id, d.task FROM tasks t CROSS JOIN unnest(t.outputs) AS o(result)
    JOIN results r ON r.id = o.result AND r.standalone JOIN dependencies d ON d.result = o.result
    WHERE t.id >= :first AND t.id <= :last
    UNION
    SELECT r.origin, d.task FROM reach r JOIN tasks t ON t.id = r.task
    CROSS JOIN unnest(t.outputs) AS o(result) JOIN dependencies d ON d.result = o.result
)
SELECT origin FROM reach WHERE origin = task LIMIT 1;

-- name: begin_tasks
-- Tasks that wait for results of others could be counted down before their submission was visible.
UPDATE tasks SET status = {task.pending} WHERE id >= :first AND id <= :last AND status = {task.creating}
RETURNING id, remaining;
