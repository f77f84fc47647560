-- What tasks have printed, in pieces.

-- name: add_pieces
-- Only of attempts that there are or were. Returns what was not there before.
INSERT INTO task_logs (task, attempt, start, text)
SELECT l.task, l.attempt, l.start, l.text
FROM unnest(:tasks::uuid[], :attempts::smallint[], :starts::integer[], :texts::text[]) AS l(task, attempt, start, text)
JOIN tasks t ON t.id = l.task AND t.attempt >= l.attempt
ON CONFLICT DO NOTHING RETURNING task, attempt, start, text;

-- name: pieces
-- From the piece on that holds character :start.
SELECT start, text FROM task_logs WHERE task = :task AND attempt = :attempt AND start >= coalesce((
    SELECT max(start) FROM task_logs WHERE task = :task AND attempt = :attempt AND start <= :start), 0)
ORDER BY start LIMIT :most;

-- name: sessions_of
SELECT id, session FROM tasks WHERE id = ANY(:tasks::uuid[]);
