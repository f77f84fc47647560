-- name: add
INSERT INTO outbox (subject, body, trace) VALUES (:subject, :body, :trace) RETURNING id, subject, body, trace;

-- name: horizon
-- `oldest`: the oldest transaction that is still open, in whatever database; `next`: the first that had not begun;
-- `newest`: the last row that can be seen.
SELECT pg_snapshot_xmin(s)::text::bigint AS oldest, pg_snapshot_xmax(s)::text::bigint AS next,
       (SELECT coalesce(max(id), 0) FROM outbox) AS newest
FROM pg_current_snapshot() AS s;

-- name: behind
-- `due`: a second is left to those who have just committed and publish by themselves.
SELECT id, created_at < now() - interval '1 second' AS due FROM outbox WHERE id > :after ORDER BY id LIMIT :most;

-- name: rows
SELECT id, subject, body, trace FROM outbox WHERE id = ANY(:ids::bigint[]) ORDER BY id;

-- name: forget
DELETE FROM outbox WHERE id = ANY(:ids::bigint[]);
