-- Tokens: found by their SHA-256, listed, revoked.

-- name: find_token
SELECT t.id AS token, u.name, u.roles, t.scope, t.expires_at,
       ARRAY(SELECT m.group_name FROM memberships m WHERE m.user_name = u.name ORDER BY m.group_name) AS groups
FROM tokens t JOIN users u ON u.name = t.user_name
WHERE t.hash = :hash AND t.revoked_at IS NULL AND u.disabled_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now());

-- name: put_token
INSERT INTO tokens (id, hash, user_name, label, scope, expires_at)
VALUES (:id, :hash, :user, :label, :scope, :expires_at);

-- name: put_file_token
-- The file is the operator's word: its token is valid even if it was revoked, and those it had before are not.
WITH others AS (
    UPDATE tokens SET revoked_at = now()
    WHERE from_file AND hash <> :hash AND revoked_at IS NULL
)
INSERT INTO tokens (id, hash, user_name, from_file) VALUES (:id, :hash, :user, true)
ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL, from_file = true, user_name = excluded.user_name;

-- name: revoke_token
-- Of this user, or of anybody if that is NULL.
UPDATE tokens SET revoked_at = coalesce(revoked_at, now())
WHERE id = :id AND (:user::text IS NULL OR user_name = :user) RETURNING id;

-- name: page
SELECT id, user_name, label, scope, created_at, expires_at FROM tokens
WHERE (:user::text IS NULL OR user_name = :user) AND (:before::uuid IS NULL OR id < :before)
  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
ORDER BY id DESC LIMIT :size;
