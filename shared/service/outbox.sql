-- name: add
INSERT INTO outbox (subject, body, trace) VALUES ($1, $2, $3) RETURNING id, subject, body, trace;

-- name: horizon
-- `oldest`: the oldest transaction that is still open, in whatever database; `next`: the first that had not begun;
-- `newest`: the last row that can be seen.
SELECT pg_snapshot_xmin(s)::text::bigint AS oldest, pg_snapshot_xmax(s)::text::bigint AS next,
       (SELECT coalesce(max(id), 0) FROM outbox) AS newest
FROM pg_current_snapshot() AS s;

-- name: behind
-- `due`: a second is left to those who have just committed and publish by themselves.
SELECT id, created_at < now() - interval '1 second' AS due FROM outbox WHERE id > $1 ORDER BY id LIMIT $2;

-- name: rows
SELECT id, subject, body, trace FROM outbox WHERE id = ANY($1::bigint[]) ORDER BY id;

-- name: forget
DELETE FROM outbox WHERE id = ANY($1::bigint[]);

-- name: claim_key
INSERT INTO inbox (owner, key, subject, digest) VALUES ($1, $2, $3, $4) ON CONFLICT (owner, key) DO NOTHING RETURNING key;

-- name: find_key
SELECT subject, digest, reply FROM inbox WHERE owner = $1 AND key = $2;

-- name: answer_key
UPDATE inbox SET reply = $3 WHERE owner = $1 AND key = $2;

-- name: forget_keys
DELETE FROM inbox WHERE created_at < now() - interval '7 days';
