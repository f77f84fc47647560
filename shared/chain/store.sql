-- The rows of chains. Leases go by the database's clock, so that processes need not agree on theirs.

-- name: insert
INSERT INTO chains (id, kind, version, status, step, step_name, state, since, due_at, trace, operation, owner, target)
VALUES (:id, :kind, :version, :status, :step, :step_name, :state, :since, :due_at, :trace, :operation, :owner, :target)
ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: find
SELECT *, lease_until > now() AS leased FROM chains WHERE id = :id;

-- name: lock
SELECT *, lease_until > now() AS leased FROM chains WHERE id = :id FOR UPDATE;

-- name: claim
-- The epoch says that this step is still the one; the lease, that nobody else is at it.
UPDATE chains SET claim = claim + 1, runner = :runner, lease_until = now() + :lease, sweeps = 0
WHERE id = :id AND epoch = :epoch AND due_at IS NOT NULL AND (lease_until IS NULL OR lease_until <= now())
RETURNING *;

-- name: renew
UPDATE chains SET lease_until = now() + :lease WHERE id = :id AND epoch = :epoch AND claim = :claim RETURNING cancelling;

-- name: release
UPDATE chains SET lease_until = NULL, runner = '' WHERE id = :id AND epoch = :epoch AND claim = :claim;

-- name: save_state
UPDATE chains SET state = :state, updated_at = now() WHERE id = :id AND epoch = :epoch AND claim = :claim RETURNING epoch;

-- name: save_progress
-- Units that are not named keep their amounts.
UPDATE chains SET progress = progress || :progress, revision = revision + 1, updated_at = now()
WHERE id = :id AND epoch = :epoch AND claim = :claim RETURNING *, lease_until > now() AS leased;

-- name: hide_operation
UPDATE chains SET operation = '' WHERE id = :id;

-- name: lock_claimed
SELECT * FROM chains WHERE id = :id AND epoch = :epoch AND claim = :claim FOR UPDATE;

-- name: move
-- The row is locked by the same transaction, which has checked epoch and claim, and the new status by the machine.
UPDATE chains SET status = :status, step = :step, step_name = :step_name, tries = :tries, failed_at = :failed_at,
    fault = :fault, error = :error, cancelling = :cancelling, since = :since, due_at = :due_at,
    state = coalesce(:state, state), result = coalesce(:result, result), epoch = epoch + 1, revision = revision + 1,
    lease_until = NULL, runner = '', sweeps = 0, updated_at = now(),
    ended_at = CASE WHEN :due_at::timestamptz IS NULL THEN now() END
WHERE id = :id RETURNING *;

-- name: ask_cancel
UPDATE chains SET cancelling = true, revision = revision + 1, updated_at = now() WHERE id = :id
RETURNING *, lease_until > now() AS leased;

-- name: overdue
-- A step whose lease has ended was begun by a process that is gone: at once. One that was never begun may still wait in
-- the stream: after a while, and each time twice as long, so that a long queue is not filled with copies.
UPDATE chains SET sweeps = least(sweeps + 1, 12) WHERE id IN (
    SELECT id FROM chains
    WHERE due_at < now() - :grace::interval AND (lease_until IS NULL OR lease_until <= now())
      AND (:all OR coalesce(lease_until - :grace::interval, due_at) < now() - :grace::interval * (2 ^ sweeps)::double precision)
    ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: list
SELECT *, lease_until > now() AS leased FROM chains
WHERE (:kind = '' OR kind = :kind) AND (NOT :live OR due_at IS NOT NULL) AND (:before::uuid IS NULL OR id < :before)
ORDER BY id DESC LIMIT :size;

-- name: operations
SELECT *, lease_until > now() AS leased FROM chains
WHERE operation <> '' AND (:owner::text IS NULL OR owner = :owner) AND (:kind = '' OR operation = :kind)
    AND (:target = '' OR target = :target) AND (NOT :active OR due_at IS NOT NULL)
    AND (:before::timestamptz IS NULL OR (created_at, id) < (:before, :before_id::uuid))
ORDER BY created_at DESC, id DESC LIMIT :size;

-- name: forget
-- Ids grow with time: the bound makes it a range of the primary key.
DELETE FROM chains WHERE id < :before AND ended_at < now() - :age::interval;
