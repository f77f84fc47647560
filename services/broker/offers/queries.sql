-- Capacity

-- name: lock_site
-- One reservation of a site at a time: held until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended('headrace.offers:' || $1, 0));

-- name: held
-- An offer that has expired holds nothing, also before the sweep has said so. 2: OFFERED.
SELECT coalesce(sum(cores), 0)::integer AS cores, coalesce(sum(memory), 0)::integer AS memory
FROM offers WHERE site = $1 AND holds AND (phase <> 2 OR expires_at > $2);

-- Offers

-- name: answered
SELECT * FROM offers WHERE offerset = $1 AND site = $2;

-- name: offer
INSERT INTO offers (id, site, offerset, owner, phase, request, terms, cores, memory, created_at, changed_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11) RETURNING *;

-- name: get
SELECT * FROM offers WHERE id = $1 AND site = $2;

-- name: lock
SELECT * FROM offers WHERE id = $1 AND site = $2 FOR UPDATE;

-- name: move
-- The guard: only from the phases that the machine allows.
UPDATE offers SET phase = $2, version = version + 1, holds = $4, messages = messages || $5::jsonb, changed_at = $6
WHERE id = $1 AND phase = ANY($3::smallint[]) RETURNING *;

-- name: note_session
-- Whatever has become of the offer meanwhile: a compute session that nobody knows of would never be closed.
UPDATE offers SET session = coalesce(session, $2) WHERE id = $1 RETURNING *;

-- name: let_go
UPDATE offers SET holds = false WHERE id = $1 AND holds;

-- name: held_rows
SELECT * FROM offers WHERE site = $1 AND holds AND id > $2 ORDER BY id LIMIT $3;
