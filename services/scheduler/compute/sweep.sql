-- What was left behind.

-- name: abandoned
-- By the age of its newest chunk: an upload that takes long is not one that has stopped.
SELECT id FROM submissions s WHERE status = {submission.open} AND NOT ended AND parent IS NULL
  AND greatest(s.created_at, (SELECT max(c.created_at) FROM chunks c WHERE c.submission = s.id))
      < now() - make_interval(secs => :age)
ORDER BY id LIMIT 10;

-- name: is_abandoned
SELECT greatest(s.created_at, (SELECT max(c.created_at) FROM chunks c WHERE c.submission = s.id))
    < now() - make_interval(secs => :age)
FROM submissions s WHERE id = :submission AND status = {submission.open} AND NOT ended AND parent IS NULL;

-- name: orphans
-- Subtasks of an attempt that can no longer complete. It never can again: whoever tries anew has another attempt.
SELECT s.id FROM submissions s WHERE s.status = {submission.open} AND s.parent IS NOT NULL AND s.id > :after AND NOT EXISTS (
    SELECT 1 FROM tasks t WHERE t.id = s.parent AND t.attempt = s.parent_attempt AND t.status IN ({task.open}))
ORDER BY s.id LIMIT :most;

-- name: drop_orphan
-- With its chunks, lanes and promises.
DELETE FROM submissions WHERE id = :submission AND status = {submission.open};
