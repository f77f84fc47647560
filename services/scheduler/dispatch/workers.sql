-- Workers, and the tasks that they are known to hold.

-- name: store_beat
INSERT INTO workers (name, partition, slots, functions, holds, partitions, unwell, beat_at)
VALUES (:name, :partition, :slots, :functions, :holds, :partitions, :unwell, now())
ON CONFLICT (name) DO UPDATE SET partition = excluded.partition, slots = excluded.slots, functions = excluded.functions,
    holds = excluded.holds, partitions = excluded.partitions, unwell = excluded.unwell, beat_at = excluded.beat_at;

-- name: workers
SELECT name, beat_at FROM workers ORDER BY name;

-- name: delete_workers
DELETE FROM workers WHERE name = ANY(:names::text[]);

-- name: ended
-- Over, stopping, or tried anew since: nobody waits for that attempt. So is what waits at a worker when its session was cancelled:
-- its row is written a moment later, and until then it must not begin in the slot of a task that was stopped.
SELECT t.id FROM unnest(:tasks::uuid[], :attempts::smallint[]) AS h(id, attempt) JOIN tasks t ON t.id = h.id
WHERE t.status NOT IN ({task.failable}) OR t.attempt > h.attempt
  OR t.status IN ({task.queued}) AND t.session IN (SELECT id FROM sessions WHERE status = {session.cancelled});

-- name: holders
SELECT DISTINCT worker FROM running;

-- name: held_by
SELECT task, attempt, extract(epoch FROM now() - since)::float8 AS age FROM running WHERE worker = :worker;

-- name: return_unbegun
-- Found with a worker and never begun there: they wait again, as another attempt that does not count (a lane passes first
-- ones only). The session is held: once it has ended, nothing of it waits.
WITH live AS MATERIALIZED (
    SELECT id FROM sessions WHERE id IN (SELECT session FROM tasks WHERE id = ANY(:tasks::uuid[]))
      AND status IN ({session.open}) ORDER BY id FOR SHARE
), back AS (
    UPDATE tasks t SET status = {task.pending}, attempt = t.attempt + 1, uncounted = t.uncounted + 1, worker = NULL
    FROM unnest(:tasks::uuid[], :attempts::smallint[]) AS h(id, attempt)
    WHERE t.id = h.id AND t.attempt = h.attempt AND t.status = {task.dispatched} AND t.session IN (SELECT id FROM live)
    RETURNING t.id, t.attempt, t.partition, t.priority, t.session
), history AS (
    INSERT INTO attempts (task, attempt, worker, error)
    SELECT b.id, b.attempt - 1, coalesce(r.worker, ''), 'its worker let go of it before it began' FROM back b
    LEFT JOIN running r ON r.task = b.id ON CONFLICT DO NOTHING
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM back)
), queued AS (
    INSERT INTO ready (partition, priority, session, task) SELECT partition, priority, session, id FROM back
    ON CONFLICT DO NOTHING
)
SELECT id, partition FROM back;

-- name: unbegun
SELECT t.id FROM unnest(:tasks::uuid[], :attempts::smallint[]) AS h(id, attempt) JOIN tasks t ON t.id = h.id
WHERE t.attempt = h.attempt AND t.status = {task.dispatched};
