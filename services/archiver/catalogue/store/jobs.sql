-- name: insert
INSERT INTO jobs (id, type, dataset, owner) VALUES (:id, :type, :dataset, :owner) ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: find
SELECT j.*, d.pid FROM jobs j JOIN datasets d ON d.id = j.dataset WHERE j.id = :id;

-- name: move
UPDATE jobs SET state = :state, message = :message, version = version + 1, updated_at = now()
WHERE id = :id AND state = ANY(:sources::smallint[]) RETURNING *;
