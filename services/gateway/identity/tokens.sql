-- name: find_token
SELECT t.id AS token, u.name, u.roles
FROM tokens t JOIN users u ON u.name = t.user_name
WHERE t.hash = :hash AND t.revoked_at IS NULL

-- name: put_user
-- Roles of a user who is there already are not changed: the row that counts is returned.
INSERT INTO users AS u (name, roles) VALUES (:name, :roles)
ON CONFLICT (name) DO UPDATE SET roles = u.roles
RETURNING roles

-- name: put_token
INSERT INTO tokens (id, hash, user_name) VALUES (:id, :hash, :user)

-- name: put_file_token
-- The file is the operator's word: its token is valid even if it was revoked, and those it had before are not.
WITH others AS (
    UPDATE tokens SET revoked_at = now()
    WHERE from_file AND hash <> :hash AND revoked_at IS NULL
)
INSERT INTO tokens (id, hash, user_name, from_file) VALUES (:id, :hash, :user, true)
ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL, from_file = true, user_name = excluded.user_name

-- name: revoke_token
UPDATE tokens SET revoked_at = coalesce(revoked_at, now()) WHERE id = :id RETURNING id
