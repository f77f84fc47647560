-- Owner NULL: whoever's it is.

-- name: put_workstep
INSERT INTO worksteps (id, owner, name, request) VALUES ($1, $2, $3, $4) RETURNING *;

-- name: workstep
SELECT * FROM worksteps WHERE id = $1 AND ($2::text IS NULL OR owner = $2);

-- name: worksteps
SELECT * FROM worksteps WHERE ($1::text IS NULL OR owner = $1) AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3;

-- name: put_offerset
WITH made AS (
    INSERT INTO offersets (id, workstep, owner, document) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET document = excluded.document RETURNING id
)
INSERT INTO offers (id, offerset, site) SELECT o.id, made.id, o.site FROM made, unnest($5::uuid[], $6::text[]) AS o(id, site)
ON CONFLICT DO NOTHING;

-- name: offerset
SELECT document FROM offersets WHERE id = $1 AND ($2::text IS NULL OR owner = $2);

-- name: offer
SELECT o.site, o.offerset, s.owner FROM offers o JOIN offersets s ON s.id = o.offerset
WHERE o.id = $1 AND ($2::text IS NULL OR s.owner = $2);

-- name: siblings
SELECT id, site FROM offers WHERE offerset = $1 AND id <> $2;

-- name: choose
-- One offer of a set: the first that asks. Returns which; asking again for the same one does nothing.
UPDATE offersets SET chosen = coalesce(chosen, $2) WHERE id = $1 RETURNING chosen;

-- name: drop_choice
UPDATE offersets SET chosen = NULL WHERE id = $1 AND chosen = $2;
