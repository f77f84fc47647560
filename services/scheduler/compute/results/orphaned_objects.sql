-- Objects that no result points to any more.

-- name: add
INSERT INTO orphaned_objects (key) SELECT DISTINCT unnest(:keys::text[]) ON CONFLICT DO NOTHING;

-- name: oldest
SELECT key FROM orphaned_objects ORDER BY added_at LIMIT :most;

-- name: forget
DELETE FROM orphaned_objects WHERE key = ANY(:keys::text[]);
