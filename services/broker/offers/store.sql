-- The rows of `offers`.

-- name: insert
INSERT INTO offers (id, site, offerset, owner, phase, request, terms, cores, memory, created_at, changed_at, expires_at)
VALUES (:id, :site, :offerset, :owner, {offer.offered}, :request, :terms, :cores, :memory, :now, :now, :expires_at) RETURNING *;

-- name: find
SELECT * FROM offers WHERE id = :id AND site = :site;

-- name: lock
SELECT * FROM offers WHERE id = :id AND site = :site FOR UPDATE;

-- name: of_offerset
SELECT * FROM offers WHERE offerset = :offerset AND site = :site;

-- name: move
-- The guard: only from the phases that the machine allows.
UPDATE offers SET phase = :phase, version = version + 1, holds = :holds, messages = messages || :messages::jsonb, changed_at = :now
WHERE id = :id AND phase = ANY(:sources::smallint[]) RETURNING *;

-- name: set_session
-- Whatever has become of the offer meanwhile: a compute session that nobody knows of would never be closed.
UPDATE offers SET session = coalesce(session, :session) WHERE id = :id RETURNING *;

-- name: set_delegation
UPDATE offers SET delegation = :delegation, delegation_ends = :ends WHERE id = :id RETURNING *;

-- name: free_capacity
UPDATE offers SET holds = false WHERE id = :id AND holds;

-- name: holding
SELECT * FROM offers WHERE site = :site AND holds AND id > :after ORDER BY id LIMIT :size;
