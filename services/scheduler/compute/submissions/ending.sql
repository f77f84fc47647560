-- Submissions whose tasks have all ended: `ended`.

-- name: first_open_task
SELECT id FROM tasks WHERE id >= :low AND id <= :high AND status IN ({task.unended}) ORDER BY id LIMIT 1;

-- name: open_of_session
SELECT id, status FROM submissions WHERE session = :session AND NOT ended ORDER BY id;

-- name: ended_candidates
SELECT s.id FROM submissions s
WHERE NOT s.ended AND s.status <> {submission.open} AND s.id > :after AND NOT EXISTS (
    SELECT 1 FROM lanes l WHERE l.submission = s.id AND l.cursor < l.upto) ORDER BY s.id LIMIT :most;

-- name: mark
UPDATE submissions SET ended = true WHERE id = :submission;

-- name: unmark
-- Also those that are not marked: who is about to mark them waits until we have committed, and then looks again.
UPDATE submissions SET ended = false WHERE id IN (
    SELECT id FROM submissions WHERE id = ANY(:submissions::uuid[]) ORDER BY id FOR UPDATE);
