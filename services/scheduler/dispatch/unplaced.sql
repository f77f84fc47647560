-- Tasks that are set aside until there may be room with a worker that has their function.

-- name: set_aside
-- Attempts that could not be placed (`reasons` empty), or that their worker gave back, wait until there is room with a worker that
-- has their function: as new attempts that use up no retry, for a lane passes first ones only. (The number stays at its highest; the
-- history names the first hundred.)
WITH live AS MATERIALIZED (
    SELECT id FROM sessions WHERE id IN (SELECT session FROM tasks WHERE id = ANY(:tasks::uuid[]))
      AND status IN ({session.open}) ORDER BY id FOR SHARE
), aside AS (
    UPDATE tasks t SET status = {task.pending}, attempt = least(t.attempt + 1, 32000), worker = NULL, started_at = NULL,
        uncounted = t.uncounted + least(1, 32000 - t.attempt)
    FROM unnest(:tasks::uuid[], :attempts::smallint[], :workers::text[], :reasons::text[]) AS l(id, attempt, worker, why)
    WHERE t.id = l.id AND t.attempt = l.attempt AND t.status IN ({task.active}) AND t.remaining = 0
      AND t.session IN (SELECT id FROM live)
    RETURNING t.id, t.attempt, t.session, t.partition, t.function, l.worker, l.why
), history AS (
    INSERT INTO attempts (task, attempt, worker, error)
    SELECT id, attempt - 1, worker, why FROM aside WHERE why <> '' AND attempt <= 100 ON CONFLICT DO NOTHING
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM aside)
), noted AS (
    INSERT INTO unplaced (partition, function, task, attempt, session) SELECT partition, function, id, attempt, session FROM aside
    ON CONFLICT (partition, function, task) DO UPDATE SET attempt = excluded.attempt
)
SELECT id, session, partition, worker FROM aside;

-- name: waiting
-- How many wait, of these functions: up to `limit` are counted.
SELECT f.function, (SELECT count(*) FROM (
    SELECT 1 FROM unplaced u WHERE u.partition = :partition AND u.function = f.function LIMIT :limit) AS found) AS tasks
FROM unnest(:functions::text[]) AS f(function)
WHERE EXISTS (SELECT 1 FROM unplaced u WHERE u.partition = :partition AND u.function = f.function);

-- name: place
-- The first `count` that wait for a function have their turn again. What went another way meanwhile is forgotten. Whose session is
-- being ended is left to who ends it.
WITH gone AS (
    DELETE FROM unplaced WHERE (partition, function, task) IN (
        SELECT partition, function, task FROM unplaced WHERE partition = :partition AND function = :function
        ORDER BY task LIMIT :count FOR UPDATE SKIP LOCKED)
    RETURNING task, attempt
), locked AS MATERIALIZED (
    SELECT t.id, t.partition, t.priority, t.session FROM gone g JOIN tasks t ON t.id = g.task
    WHERE t.attempt = g.attempt AND t.status = {task.pending} AND t.remaining = 0 ORDER BY t.id FOR SHARE OF t
), queued AS (
    INSERT INTO ready (partition, priority, session, task) SELECT partition, priority, session, id FROM locked
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM gone;

-- name: count_waiting
-- Ready tasks of partitions by their function, as far as that is known without reading them. Lanes give an upper bound.
SELECT found.partition, found.function, sum(found.tasks)::bigint AS tasks FROM (
    (SELECT u.partition, u.function, 1 AS tasks FROM unplaced u JOIN tasks t ON t.id = u.task
     WHERE u.partition = ANY(:partitions::smallint[]) AND t.status = {task.pending} AND t.attempt = u.attempt AND t.remaining = 0
     LIMIT 100000)
    UNION ALL
    SELECT l.partition, l.function, l.upto - l.cursor FROM lanes l JOIN submissions s ON s.id = l.submission
    WHERE l.partition = ANY(:partitions::smallint[]) AND l.cursor < l.upto AND l.function IS NOT NULL
      AND s.status = {submission.visible}
) AS found GROUP BY found.partition, found.function;

-- name: count_waiting_in_session
-- As `count_waiting`, of one session.
SELECT found.partition, found.function, sum(found.tasks)::bigint AS tasks FROM (
    (SELECT u.partition, u.function, 1 AS tasks FROM unplaced u JOIN tasks t ON t.id = u.task
     WHERE u.session = :session AND t.status = {task.pending} AND t.attempt = u.attempt AND t.remaining = 0 LIMIT 100000)
    UNION ALL
    SELECT l.partition, l.function, l.upto - l.cursor FROM submissions s JOIN lanes l ON l.submission = s.id
    WHERE s.session = :session AND l.cursor < l.upto AND l.function IS NOT NULL AND s.status = {submission.visible}
) AS found GROUP BY found.partition, found.function;
