-- name: add
INSERT INTO outbox (subject, body, trace) VALUES ($1, $2, $3) RETURNING id, subject, body, trace;

-- name: behind
-- A second is left to those who have just committed and publish by themselves.
SELECT id FROM outbox WHERE id > $1 AND created_at < now() - interval '1 second' ORDER BY id LIMIT 5000;

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
