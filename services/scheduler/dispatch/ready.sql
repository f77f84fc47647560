-- Ready tasks: whose turn it is, and taking them.

-- name: lanes
-- A loose index scan: every priority and session that waits, and the first submissions of each, however many there are.
-- `functions`: those that can be placed; NULL: all. Lanes of others are passed over.
WITH RECURSIVE step AS (
    (SELECT priority, session FROM lanes WHERE partition = :partition AND cursor < upto
       AND (:functions::text[] IS NULL OR function IS NULL OR function = ANY(:functions))
     ORDER BY priority DESC, session DESC LIMIT 1)
    UNION ALL
    SELECT n.priority, n.session FROM step s CROSS JOIN LATERAL (
        SELECT l.priority, l.session FROM lanes l
        WHERE l.partition = :partition AND l.cursor < l.upto AND (l.priority, l.session) < (s.priority, s.session)
          AND (:functions::text[] IS NULL OR l.function IS NULL OR l.function = ANY(:functions))
        ORDER BY l.priority DESC, l.session DESC LIMIT 1) n
)
SELECT l.submission, l.session, l.priority, l.cursor, l.upto, l.trace, l.applications, turn.owner
FROM (SELECT step.*, e.owner FROM step JOIN sessions e ON e.id = step.session WHERE e.status = {session.running} LIMIT :limit) AS turn
CROSS JOIN LATERAL (
    SELECT l.*, s.trace, s.applications FROM lanes l JOIN submissions s ON s.id = l.submission
    WHERE l.partition = :partition AND l.priority = turn.priority AND l.session = turn.session AND l.cursor < l.upto
      AND (:functions::text[] IS NULL OR l.function IS NULL OR l.function = ANY(:functions))
      AND s.status = {submission.visible} ORDER BY l.submission LIMIT 16) AS l
ORDER BY l.priority DESC, l.session, l.submission;

-- name: released
-- A loose index scan: one row for each priority and session, however many tasks wait in it.
WITH RECURSIVE step AS (
    (SELECT priority, session FROM ready WHERE partition = :partition ORDER BY priority DESC, session DESC LIMIT 1)
    UNION ALL
    SELECT n.priority, n.session FROM step s CROSS JOIN LATERAL (
        SELECT r.priority, r.session FROM ready r
        WHERE r.partition = :partition AND (r.priority, r.session) < (s.priority, s.session)
        ORDER BY r.priority DESC, r.session DESC LIMIT 1) n
)
SELECT step.priority, step.session, e.owner FROM step JOIN sessions e ON e.id = step.session
WHERE e.status = {session.running} LIMIT :limit;

-- name: take_lane
-- Nothing if the cursor is no longer where the caller saw it: the lane was rewound, or taken from by somebody else.
-- The session is held: a pause that has committed is seen, one that commits later finds the cursor where we put it.
WITH held AS MATERIALIZED (
    SELECT epoch FROM sessions WHERE id = :session AND status = {session.running} FOR SHARE
), lane AS MATERIALIZED (
    SELECT 1 FROM lanes WHERE submission = :submission AND partition = :partition AND priority = :priority
      AND EXISTS (SELECT 1 FROM held) AND cursor < upto AND cursor = line_of_v1(:first) FOR UPDATE
), picked AS MATERIALIZED (
    SELECT id, session, partition, priority, attempt, max_duration, function, payload, payload_result, inputs, outputs
    FROM tasks WHERE id >= :first AND id < :end AND deps = 0 AND attempt = 0 AND status = {task.pending}
      AND partition = :partition AND priority = :priority AND EXISTS (SELECT 1 FROM lane)
    ORDER BY id LIMIT :count
), moved AS (
    UPDATE lanes SET cursor = CASE WHEN (SELECT count(*) FROM picked) < :count THEN upto
        ELSE line_of_v1((SELECT id FROM picked ORDER BY id DESC LIMIT 1)) + 1 END
    WHERE submission = :submission AND partition = :partition AND priority = :priority AND EXISTS (SELECT 1 FROM lane)
)
SELECT picked.*, held.epoch FROM picked CROSS JOIN held;

-- name: take_released
WITH held AS MATERIALIZED (
    SELECT epoch FROM sessions WHERE id = :session AND status = {session.running} FOR SHARE
), gone AS (
    DELETE FROM ready WHERE (partition, priority, session, task) IN (
        SELECT partition, priority, session, task FROM ready
        WHERE EXISTS (SELECT 1 FROM held) AND partition = :partition AND priority = :priority AND session = :session
        ORDER BY task LIMIT :count FOR UPDATE SKIP LOCKED)
    RETURNING task
)
UPDATE tasks t SET status = {task.submitted} FROM gone WHERE t.id = gone.task AND t.status = {task.pending}
RETURNING t.id, t.session, t.partition, t.priority, t.attempt, t.max_duration, t.function, t.payload, t.payload_result,
          t.inputs, t.outputs, (SELECT epoch FROM held) AS epoch;

-- name: count_ahead
-- Ready tasks of higher and of the same priority in one partition, of sessions that run; not more than 10,000 are counted.
WITH found AS (
    (SELECT r.priority, 1 AS n FROM ready r JOIN sessions e ON e.id = r.session AND e.status = {session.running}
     WHERE r.partition = :partition AND r.priority >= :priority ORDER BY r.priority DESC LIMIT 10000)
    UNION ALL
    (SELECT l.priority, l.upto - l.cursor FROM lanes l JOIN sessions e ON e.id = l.session AND e.status = {session.running}
     WHERE l.partition = :partition AND l.cursor < l.upto AND l.priority >= :priority ORDER BY l.priority DESC LIMIT 10000)
)
SELECT coalesce(sum(n) FILTER (WHERE priority > :priority), 0) AS higher,
       coalesce(sum(n) FILTER (WHERE priority = :priority), 0) AS same
FROM found;
