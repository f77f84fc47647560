-- What a session's change of state entails for its tasks and results.

-- name: lock_queue
-- One at a time takes back what is queued of a session, or lets it go on.
SELECT locks.lock('queue.' || :session::text);

-- name: mark_done
-- Unless it has changed again.
UPDATE sessions SET pending_cleanup = false WHERE id = :session AND version = :version;

-- name: pending
SELECT id FROM sessions WHERE pending_cleanup AND changed_at < now() - make_interval(secs => :age) ORDER BY changed_at LIMIT 20;

-- name: stop_running
-- What workers are known to hold of a session, CANCELLING already or from now on.
UPDATE tasks t SET status = {task.cancelling}, error = :error, ended_at = NULL FROM running r
WHERE r.task = t.id AND t.session = :session AND t.status IN ({task.on_worker}) RETURNING t.id, t.attempt, t.outputs;

-- name: abort_outputs
UPDATE results SET status = {result.aborted}, completed_at = now()
WHERE status = {result.created} AND id IN (SELECT unnest(outputs) FROM tasks WHERE id = ANY(:tasks::uuid[])) RETURNING id;

-- name: abort_standalone
UPDATE results SET status = {result.aborted}, completed_at = now() WHERE id IN (
    SELECT id FROM results WHERE session = :session AND standalone AND id > :after AND status = {result.created}
      AND owner IS NULL ORDER BY id LIMIT :most)
  AND status = {result.created} AND owner IS NULL
RETURNING id;

-- name: cancel_slice
-- What has not begun ends here; what a worker is known to hold, if that is among the states asked for, is stopping.
-- `chosen`: it has ended here and the windows count it as outstanding. At most :most tasks, and about as many outputs.
WITH locked AS MATERIALIZED (
    SELECT id, status, deps, attempt, partition, priority, cardinality(outputs) AS outputs FROM tasks
    WHERE id >= :low AND id <= :high AND status = ANY(:sources::smallint[]) ORDER BY id LIMIT :most FOR UPDATE
), picked AS MATERIALIZED (
    SELECT k.*, k.status = {task.submitted} OR (k.status = {task.pending} AND k.deps = 0 AND k.attempt = 0
        AND line_of_v1(k.id) < coalesce(l.cursor, 0)) AS chosen
    FROM (SELECT locked.*, sum(outputs) OVER (ORDER BY id) - outputs AS before FROM locked) AS k
    LEFT JOIN lanes l ON l.submission = :submission AND l.partition = k.partition AND l.priority = k.priority
    WHERE k.before < :most
)
UPDATE tasks t SET error = :error,
    status = CASE WHEN p.status IN ({task.held}) THEN {task.cancelling} ELSE {task.cancelled} END,
    ended_at = CASE WHEN p.status IN ({task.held}) THEN NULL ELSE now() END
FROM picked p WHERE t.id = p.id
RETURNING t.id, t.status, p.partition, p.chosen;

-- name: drop_lanes
DELETE FROM lanes WHERE submission = :submission;

-- name: drop_ready
WITH placeless AS (
    DELETE FROM unplaced WHERE (partition, function, task) IN (
        SELECT partition, function, task FROM unplaced WHERE session = :session ORDER BY task FOR UPDATE)
)
DELETE FROM ready WHERE session = :session;
