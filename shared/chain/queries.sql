-- name: insert
INSERT INTO chains (id, kind, version, status, step, step_name, state, since, due_at, trace, operation, owner, target)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: find
SELECT *, lease_until > now() AS leased FROM chains WHERE id = $1;

-- name: lock
SELECT *, lease_until > now() AS leased FROM chains WHERE id = $1 FOR UPDATE;

-- name: claim
-- The epoch says that this step is still the one; the lease, that nobody else is at it.
UPDATE chains SET claim = claim + 1, runner = $3, lease_until = now() + $4, sweeps = 0
WHERE id = $1 AND epoch = $2 AND due_at IS NOT NULL AND (lease_until IS NULL OR lease_until <= now())
RETURNING *;

-- name: renew
UPDATE chains SET lease_until = now() + $4 WHERE id = $1 AND epoch = $2 AND claim = $3 RETURNING cancelling;

-- name: release
UPDATE chains SET lease_until = NULL, runner = '' WHERE id = $1 AND epoch = $2 AND claim = $3;

-- name: save_state
UPDATE chains SET state = $4, updated_at = now() WHERE id = $1 AND epoch = $2 AND claim = $3 RETURNING epoch;

-- name: save_progress
-- Units that are not named keep their amounts.
UPDATE chains SET progress = progress || $4, revision = revision + 1, updated_at = now() WHERE id = $1 AND epoch = $2 AND claim = $3
RETURNING *, lease_until > now() AS leased;

-- name: hide_operation
UPDATE chains SET operation = '' WHERE id = $1;

-- name: lock_claimed
SELECT * FROM chains WHERE id = $1 AND epoch = $2 AND claim = $3 FOR UPDATE;

-- name: move
-- The row is locked by the same transaction, which has checked epoch and claim.
UPDATE chains SET status = $2, step = $3, step_name = $4, tries = $5, failed_at = $6, fault = $7, error = $8,
    cancelling = $9, since = $10, due_at = $11, state = coalesce($12, state), result = coalesce($13, result), epoch = epoch + 1, revision = revision + 1,
    lease_until = NULL, runner = '', sweeps = 0, updated_at = now(),
    ended_at = CASE WHEN $11::timestamptz IS NULL THEN now() END
WHERE id = $1 RETURNING *;

-- name: ask_cancel
UPDATE chains SET cancelling = true, revision = revision + 1, updated_at = now() WHERE id = $1 RETURNING *, lease_until > now() AS leased;

-- name: overdue
-- A step whose lease has ended was begun by a process that is gone: at once. One that was never begun may still wait in
-- the stream: after a while, and each time twice as long, so that a long queue is not filled with copies.
UPDATE chains SET sweeps = least(sweeps + 1, 12) WHERE id IN (
    SELECT id FROM chains
    WHERE due_at < now() - $1::interval AND (lease_until IS NULL OR lease_until <= now())
      AND ($2 OR coalesce(lease_until - $1::interval, due_at) < now() - $1::interval * (2 ^ sweeps)::double precision)
    ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: list
SELECT *, lease_until > now() AS leased FROM chains
WHERE ($1 = '' OR kind = $1) AND (NOT $2 OR due_at IS NOT NULL) AND ($3::uuid IS NULL OR id < $3)
ORDER BY id DESC LIMIT $4;

-- name: operations
SELECT *, lease_until > now() AS leased FROM chains
WHERE operation <> '' AND ($1::text IS NULL OR owner = $1) AND ($2 = '' OR operation = $2) AND ($3 = '' OR target = $3)
    AND (NOT $4 OR due_at IS NOT NULL) AND ($5::uuid IS NULL OR id < $5)
ORDER BY id DESC LIMIT $6;

-- name: forget
-- Ids grow with time: the bound makes it a range of the primary key.
DELETE FROM chains WHERE id < $1 AND ended_at < now() - $2::interval;
