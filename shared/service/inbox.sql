-- name: claim_key
INSERT INTO inbox (owner, key, subject, digest) VALUES (:owner, :key, :subject, :digest)
ON CONFLICT (owner, key) DO NOTHING RETURNING key;

-- name: find_key
SELECT subject, digest, reply FROM inbox WHERE owner = :owner AND key = :key;

-- name: keep_reply
UPDATE inbox SET reply = :reply WHERE owner = :owner AND key = :key;

-- name: forget_keys
WITH old AS (
    SELECT owner, key FROM inbox WHERE created_at < now() - :age::interval
    ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED
)
DELETE FROM inbox i USING old WHERE i.owner = old.owner AND i.key = old.key;
