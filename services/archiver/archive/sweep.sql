-- What the sweep of the landing zone and staging looks at.

-- name: datasets
-- Datasets of which bytes were found.
SELECT d.id, d.archive_state, d.retrievable, d.updated_at, d.addresses_until, coalesce(c.due_at IS NOT NULL, false) AS live
FROM datasets d LEFT JOIN chains c ON c.id = d.chain WHERE d.id = ANY(:ids::uuid[]);

-- name: abandoned
SELECT id FROM abandoned WHERE id = ANY(:ids::uuid[]);

-- name: lock
-- Those that somebody works on now are passed over.
SELECT id FROM datasets WHERE id = ANY(:ids::uuid[]) FOR UPDATE SKIP LOCKED;

-- name: known
SELECT id FROM datasets WHERE id = ANY(:ids::uuid[]);

-- name: set_swept
UPDATE datasets SET swept_at = :now WHERE id = ANY(:ids::uuid[]) AND archive_state IN ({dataset.uploadable});
