-- Results. Those that a running task's subtasks are to produce are not shown: nobody can know that they will ever be.

-- name: add
INSERT INTO results (id, session, standalone, status, size, name, data, object, checksum, created_at, completed_at)
SELECT u.id, :session, true, CASE WHEN u.complete THEN {result.completed} ELSE {result.created} END, u.size, u.name, u.data,
       u.object, u.checksum, now(), CASE WHEN u.complete THEN now() END
FROM unnest(:ids::uuid[], :names::text[], :complete::boolean[], :sizes::bigint[], :data::bytea[], :objects::text[],
            :checksums::bytea[]) AS u(id, name, complete, size, data, object, checksum)
ON CONFLICT (id) DO NOTHING;

-- name: find
SELECT * FROM results r WHERE id = ANY(:results::uuid[])
  AND NOT (r.status = {result.created} AND r.owner IS NOT NULL AND is_hidden_v1(r.owner)) ORDER BY id;

-- name: lock
SELECT * FROM results r WHERE id = ANY(:results::uuid[])
  AND NOT (r.status = {result.created} AND r.owner IS NOT NULL AND is_hidden_v1(r.owner)) ORDER BY id FOR UPDATE OF r;

-- name: complete
UPDATE results SET status = {result.completed}, size = :size, data = :data, object = :object, checksum = :checksum,
    completed_at = now()
WHERE id = :result AND status = {result.created} AND owner IS NULL RETURNING *;

-- name: complete_imported
UPDATE results r SET status = {result.completed}, size = o.size, object = o.object, checksum = o.checksum, owned = false,
    completed_at = now()
FROM unnest(:results::uuid[], :objects::text[], :sizes::bigint[], :checksums::bytea[]) AS o(id, object, size, checksum)
WHERE r.id = o.id AND r.status = {result.created} AND r.owner IS NULL RETURNING r.id;

-- name: abort
-- Only results that no task produces: those end with their task.
UPDATE results SET status = {result.aborted}, completed_at = now()
WHERE id = ANY(:results::uuid[]) AND session = :session AND standalone AND status = {result.created} AND owner IS NULL
RETURNING id;

-- name: delete
UPDATE results SET status = {result.deleted}, data = NULL, object = NULL, completed_at = coalesce(completed_at, now())
WHERE id = ANY(:results::uuid[]) AND status = ANY(:sources::smallint[]) RETURNING id;

-- name: needed_by
-- A task of a submission that has not ended and has one of these as an input. Dependencies do not show it: there is
-- none on a result that was complete when the task was submitted. (Materialized, so that it is a hash join and not, for the
-- sake of the one row asked for, a walk through all of :results for each input.)
WITH gone AS MATERIALIZED (
    SELECT unnest(:results::uuid[]) AS id
), needed AS MATERIALIZED (
    SELECT t.id AS task, i.result FROM tasks t CROSS JOIN LATERAL unnest(t.inputs || t.payload_result) AS i(result)
    JOIN gone ON gone.id = i.result
    WHERE t.id >= :first AND t.id <= :last AND t.status IN ({task.unended})
)
SELECT task, result FROM needed LIMIT 1;
