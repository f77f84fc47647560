-- Pieces of queries: expressions that name states. A ready task that a lane has passed in a RUNNING session is SUBMITTED without a
-- write; in a PAUSED one every ready task is PAUSED.

-- name: seen_running
CASE WHEN t.status = {task.pending} AND t.deps = 0 AND t.attempt = 0
    AND line_of_v1(t.id) < (SELECT l.cursor FROM lanes l
        WHERE l.submission = s.lo AND l.partition = t.partition AND l.priority = t.priority) THEN {task.submitted}
ELSE t.status END;

-- name: seen_paused
CASE WHEN t.status = {task.pending} AND t.remaining = 0 THEN {task.paused} ELSE t.status END;

-- name: opaque
CASE WHEN r.status = {result.completed} THEN coalesce(r.object, 'inline:' || r.id) ELSE '' END;
