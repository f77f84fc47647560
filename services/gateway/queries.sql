-- name: find_token
SELECT t.id AS token, u.name, u.roles
FROM tokens t JOIN users u ON u.name = t.user_name
WHERE t.hash = $1 AND t.revoked_at IS NULL

-- name: put_user
-- Roles of a user who is there already are not changed: the row that counts is returned.
INSERT INTO users AS u (name, roles) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET roles = u.roles
RETURNING roles

-- name: put_token
INSERT INTO tokens (id, hash, user_name) VALUES ($1, $2, $3)
ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL
RETURNING id

-- name: revoke_token
UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 RETURNING id
