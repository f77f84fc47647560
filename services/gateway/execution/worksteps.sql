-- Owner NULL: whoever's it is.

-- name: put_workstep
INSERT INTO worksteps (id, owner, name, request) VALUES (:id, :owner, :name, :request) RETURNING *;

-- name: workstep
SELECT * FROM worksteps WHERE id = :id AND (:owner::text IS NULL OR owner = :owner);

-- name: worksteps
SELECT * FROM worksteps WHERE (:owner::text IS NULL OR owner = :owner) AND (:before::uuid IS NULL OR id < :before)
ORDER BY id DESC LIMIT :size;

-- name: put_offerset
WITH made AS (
    INSERT INTO offersets (id, workstep, owner, document) VALUES (:id, :workstep, :owner, :document)
    ON CONFLICT (id) DO UPDATE SET document = excluded.document RETURNING id
)
INSERT INTO offers (id, offerset, site)
SELECT o.id, made.id, o.site FROM made, unnest(:offers::uuid[], :sites::text[]) AS o(id, site)
ON CONFLICT DO NOTHING;

-- name: offerset
SELECT document FROM offersets WHERE id = :id AND (:owner::text IS NULL OR owner = :owner);

-- name: offer
SELECT o.site, o.offerset, s.owner FROM offers o JOIN offersets s ON s.id = o.offerset
WHERE o.id = :id AND (:owner::text IS NULL OR s.owner = :owner);

-- name: siblings
SELECT id, site FROM offers WHERE offerset = :offerset AND id <> :offer;

-- name: choose
-- One offer of a set: the first that asks. Returns which; asking again for the same one does nothing but note for whom.
WITH first AS (UPDATE offersets SET chosen = coalesce(chosen, :offer) WHERE id = :offerset RETURNING chosen),
noted AS (UPDATE offers SET grantee = :grantee::jsonb WHERE id = :offer AND id = (SELECT chosen FROM first))
SELECT chosen FROM first;

-- name: granted
SELECT o.offerset, s.owner, o.grantee FROM offers o JOIN offersets s ON s.id = o.offerset
WHERE o.id = :id AND o.site = :site AND o.grantee IS NOT NULL;

-- name: drop_choice
UPDATE offersets SET chosen = NULL WHERE id = :offerset AND chosen = :offer;
