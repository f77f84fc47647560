-- What ends attempts, and what releases those that waited for them. Rows are locked in the order of ids, everywhere.

-- name: complete
SELECT * FROM complete_v1(
    :tasks, :attempts, :counts, :outputs, :owners, :sizes, :data, :objects, :partitions, :credits);

-- name: complete_one
SELECT * FROM complete_one_v1(:task, :attempt, :output, :size, :data, :object, :partitions, :credits);

-- name: complete_parent
SELECT * FROM complete_parent_v1(
    :task, :attempt, :submission, :outputs, :sizes, :data, :objects, :checksums, :partitions, :credits);

-- name: count_down
SELECT * FROM count_down_v1(:results, :partitions, :credits);

-- name: choose
SELECT * FROM choose_v1(:tasks, :partitions, :credits);

-- name: end_tasks
SELECT * FROM end_v1(:tasks, :attempts, :statuses, :errors);

-- name: keep_checksums
-- Of what tasks made. The key says that it is this very value: no two writers have the same.
UPDATE results r SET checksum = decode(o.checksum, 'hex')
FROM unnest(:results::uuid[], :objects::text[], :checksums::text[]) AS o(id, object, checksum)
WHERE r.id = o.id AND r.object = o.object;

-- name: of_partition
SELECT id FROM tasks WHERE id = ANY(:tasks::uuid[]) AND partition = :partition;

-- name: still_open
SELECT id, attempt, cardinality(outputs) AS outputs FROM tasks
WHERE id = ANY(:tasks::uuid[]) AND status IN ({task.open}) AND remaining = 0;

-- name: start_tasks
WITH begun AS (
    UPDATE tasks t SET status = {task.processing}, worker = s.worker,
        started_at = coalesce(t.started_at, now() - interval '100 milliseconds')
    FROM unnest(:tasks::uuid[], :attempts::smallint[], :workers::text[]) AS s(id, attempt, worker)
    WHERE t.id = s.id AND t.attempt = s.attempt AND t.status IN ({task.startable}) AND t.remaining = 0
    RETURNING t.id, t.attempt, t.worker, t.session
), noted AS (
    INSERT INTO running (task, attempt, worker) SELECT id, attempt, worker FROM begun
    ON CONFLICT (task) DO UPDATE SET attempt = excluded.attempt, worker = excluded.worker, since = now()
)
SELECT id, session FROM begun;

-- name: retry_tasks
-- A lost attempt: the next one waits for its turn, as long as there are retries left and the session is open; it is held, so
-- that a close which commits later finds what waits.
WITH live AS MATERIALIZED (
    SELECT id FROM sessions WHERE id IN (SELECT session FROM tasks WHERE id = ANY(:tasks::uuid[]))
      AND status IN ({session.open}) ORDER BY id FOR SHARE
), again AS (
    UPDATE tasks t SET status = {task.pending}, attempt = t.attempt + 1, worker = NULL, started_at = NULL
    FROM unnest(:tasks::uuid[], :attempts::smallint[], :workers::text[], :errors::text[]) AS l(id, attempt, worker, error)
    WHERE t.id = l.id AND t.attempt = l.attempt AND t.status IN ({task.active}) AND t.remaining = 0
      AND t.attempt - t.uncounted < t.max_retries AND t.session IN (SELECT id FROM live)
    RETURNING t.id, t.attempt, t.session, t.partition, t.priority, l.worker, l.error
), history AS (
    INSERT INTO attempts (task, attempt, worker, error, started_at) -- `tasks` here: as it was before this statement
    SELECT a.id, a.attempt - 1, a.worker, a.error, o.started_at FROM again a JOIN tasks o ON o.id = a.id ON CONFLICT DO NOTHING
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM again)
), queued AS (
    INSERT INTO ready (partition, priority, session, task) SELECT partition, priority, session, id FROM again
    ON CONFLICT DO NOTHING
)
SELECT id, session, partition FROM again;

-- name: confirm_stopped
-- CANCELLING tasks whose worker has stopped them, or is gone.
WITH over AS (
    UPDATE tasks t SET status = {task.cancelled}, ended_at = now()
    FROM unnest(:tasks::uuid[], :attempts::smallint[]) AS l(id, attempt)
    WHERE t.id = l.id AND t.attempt = l.attempt AND t.status = {task.cancelling} RETURNING t.id, t.session, t.partition
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM over)
)
SELECT id, session, partition FROM over;

-- name: waiting_for
SELECT DISTINCT ON (t.id) t.id, t.attempt, d.result FROM dependencies d JOIN tasks t ON t.id = d.task
WHERE d.result = ANY(:results::uuid[]) AND t.status IN ({task.waiting}) ORDER BY t.id, d.result;

-- name: hold_inner_results
-- Results of the submission itself that its tasks wait for: who aborts one counts its dependents before us, or after.
SELECT id FROM results WHERE id IN (
    SELECT result FROM dependencies WHERE task >= :first AND task <= :last AND result >= :first AND result <= :last_result)
ORDER BY id FOR SHARE;

-- name: stranded_tasks
SELECT DISTINCT ON (t.id) t.id, t.attempt, d.result, r.owner
FROM dependencies d JOIN results r ON r.id = d.result JOIN tasks t ON t.id = d.task
WHERE d.task >= :first AND d.task <= :last AND d.result >= :first AND d.result <= :last_result
  AND r.status IN ({result.lost}) AND t.status IN ({task.waiting})
ORDER BY t.id, d.result;
