-- What was chosen waits for its turn again.

-- name: hold_tasks
-- Tasks found with a worker: theirs to finish, or to lose.
WITH held AS (
    UPDATE tasks t SET status = {task.dispatched}, worker = h.worker
    FROM unnest(:tasks::uuid[], :attempts::smallint[], :workers::text[]) AS h(id, attempt, worker)
    WHERE t.id = h.id AND t.attempt = h.attempt AND t.status IN ({task.queued}) AND t.remaining = 0 AND t.partition = :partition
    RETURNING t.id, t.attempt, t.worker
)
INSERT INTO running (task, attempt, worker) SELECT id, attempt, worker FROM held
ON CONFLICT (task) DO UPDATE SET attempt = excluded.attempt, worker = excluded.worker, since = now();

-- name: active_submissions
SELECT id, session FROM submissions
WHERE NOT ended AND status = {submission.visible} AND session = coalesce(:session, session) ORDER BY id;

-- name: rewind_released
-- Tasks of a span that were chosen in their rows wait again (of one partition; NULL: of all), in `ready` unless they wait in a
-- lane. So do attempts that earlier schedulers left to the lanes.
WITH back AS (
    UPDATE tasks SET status = {task.pending} WHERE id >= :first AND id <= :last AND status = {task.submitted}
      AND partition = coalesce(:partition, partition)
    RETURNING partition, priority, session, id, deps, attempt
), queued AS (
    INSERT INTO ready (partition, priority, session, task)
    SELECT partition, priority, session, id FROM back WHERE deps > 0 OR attempt > 0
    UNION
    SELECT partition, priority, session, id FROM tasks t WHERE id >= :first AND id <= :last AND status = {task.pending}
      AND attempt > 0 AND remaining = 0 AND deps = 0 AND partition = coalesce(:partition, partition) AND NOT EXISTS (
        SELECT 1 FROM unplaced u WHERE u.partition = t.partition AND u.function = t.function AND u.task = t.id
          AND u.attempt = t.attempt)
    ON CONFLICT DO NOTHING
)
SELECT partition, count(*) AS tasks FROM back WHERE deps > 0 OR attempt > 0 GROUP BY partition;

-- name: rewind_lanes
-- Last: it passes what was taken back from a lane in its row, too. Returns how many tasks that are, of each lane.
WITH behind AS (
    SELECT l.partition, l.priority, count(*) AS tasks, min(line_of_v1(t.id)) AS first
    FROM lanes l JOIN tasks t ON t.partition = l.partition AND t.priority = l.priority
    WHERE l.submission = :first AND l.partition = coalesce(:partition, l.partition) AND t.id >= :first AND t.id <= :last
      AND t.deps = 0 AND t.attempt = 0 AND t.status = {task.pending} AND line_of_v1(t.id) < l.cursor
    GROUP BY l.partition, l.priority
), moved AS (
    UPDATE lanes l SET cursor = b.first FROM behind b
    WHERE l.submission = :first AND l.partition = b.partition AND l.priority = b.priority AND l.cursor > b.first
)
SELECT partition, tasks FROM behind;

-- name: leave_to_lanes
-- Tasks that workers had given back: the lane that was rewound passes them again.
DELETE FROM ready r USING tasks t
WHERE r.partition = coalesce(:partition, r.partition) AND r.session = :session AND r.task >= :first AND r.task <= :last
  AND t.id = r.task AND t.deps = 0 AND t.attempt = 0;

-- name: let_go
-- What workers were known to hold without having begun it, of a session that was paused: they have to drop it.
WITH back AS (
    UPDATE tasks SET status = {task.pending}, worker = NULL WHERE id >= :first AND id <= :last AND status = {task.dispatched}
    RETURNING partition, priority, session, id, deps, attempt
), freed AS (
    DELETE FROM running WHERE task IN (SELECT id FROM back)
), queued AS (
    INSERT INTO ready (partition, priority, session, task)
    SELECT partition, priority, session, id FROM back WHERE deps > 0 OR attempt > 0 ON CONFLICT DO NOTHING
)
SELECT partition, count(*) AS tasks FROM back WHERE deps > 0 OR attempt > 0 GROUP BY partition;

-- name: next_epoch
UPDATE sessions SET epoch = epoch + 1 WHERE id IN (
    SELECT id FROM sessions WHERE status IN ({session.live})
      AND id IN (SELECT session FROM submissions WHERE NOT ended AND status = {submission.visible})
    ORDER BY id FOR NO KEY UPDATE);

-- name: count_held
SELECT count(*) FROM running r JOIN tasks t ON t.id = r.task WHERE t.partition = :partition;
