-- The audit log: appended to by one gateway at a time, read in its order.

-- name: lock
LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE;

-- name: last
SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1;

-- name: add
INSERT INTO audit (id, at, user_name, via, client, action, thing, allowed, status, trace, hash)
VALUES (:id, :at, :user, :via, :client, :action, :thing, :allowed, :status, :trace, :hash);

-- name: page
SELECT * FROM audit
WHERE (:before::bigint IS NULL OR id < :before) AND (:user::text IS NULL OR user_name = :user)
  AND (:action::text = '' OR action = :action) AND (:thing::text = '' OR thing = :thing)
  AND (:allowed::boolean IS NULL OR allowed = :allowed)
  AND (:since::timestamptz IS NULL OR at >= :since) AND (:until::timestamptz IS NULL OR at < :until)
ORDER BY id DESC LIMIT :size;

-- name: behind
SELECT * FROM audit WHERE id > :after ORDER BY id LIMIT :most;
