-- Sessions that close when they are done.

-- name: candidates
SELECT id FROM sessions WHERE id = ANY(:sessions::uuid[]) AND close_when_done AND status = {session.running};

-- name: candidates_after
SELECT id FROM sessions WHERE close_when_done AND status = {session.running} AND id > :after ORDER BY id LIMIT :most;

-- name: close
-- The guard; the session's row is locked, so nothing is submitted or run again meanwhile.
UPDATE sessions e SET status = {session.closed}, version = version + 1, changed_at = now(), closed_at = now(),
    closed_itself = true
WHERE id = :session AND status = {session.running} AND close_when_done
  AND NOT EXISTS (SELECT 1 FROM submissions s WHERE s.session = e.id AND NOT s.ended)
  AND EXISTS (SELECT 1 FROM submissions s WHERE s.session = e.id AND s.status = {submission.visible})
RETURNING *;
