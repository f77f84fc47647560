-- Objects that no result points to any more.

-- name: add
INSERT INTO doomed (key) SELECT DISTINCT unnest(:keys::text[]) ON CONFLICT DO NOTHING;

-- name: oldest
SELECT key FROM doomed ORDER BY added_at LIMIT :most;

-- name: forget
DELETE FROM doomed WHERE key = ANY(:keys::text[]);
