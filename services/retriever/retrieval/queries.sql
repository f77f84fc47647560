-- name: add
INSERT INTO retrievals (id, pid, owner, job, session, wanted) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: add_wanted
INSERT INTO wanted (retrieval, path, result) SELECT $1, u.path, u.result
FROM unnest($2::text[], $3::uuid[]) AS u(path, result);

-- name: retrieval
SELECT r.*, (SELECT count(*) FROM blocks b WHERE b.retrieval = r.id) AS blocks,
    (SELECT count(*) FROM blocks b WHERE b.retrieval = r.id AND b.back) AS back,
    (SELECT count(*) FROM blocks b WHERE b.retrieval = r.id AND b.damage <> '') AS damaged,
    (SELECT coalesce(sum(b.packed_size), 0)::bigint FROM blocks b WHERE b.retrieval = r.id) AS size,
    (SELECT count(*) FROM wanted w WHERE w.retrieval = r.id AND w.produced) AS produced
FROM retrievals r WHERE r.id = $1;

-- name: wanted
SELECT * FROM wanted WHERE retrieval = $1 ORDER BY path;

-- name: add_block
INSERT INTO blocks (retrieval, datablock, archive_id, packed_size, chk, copy, suspect, storage)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING;

-- name: place
UPDATE wanted SET datablock = $3, start = $4, size = $5, chk = $6 WHERE retrieval = $1 AND path = $2;

-- name: blocks
SELECT * FROM blocks WHERE retrieval = $1 ORDER BY archive_id;

-- name: blocks_page
SELECT * FROM blocks WHERE retrieval = $1 AND archive_id > $2 ORDER BY archive_id LIMIT $3;

-- name: set_back
WITH noted AS (UPDATE retrievals SET back_at = now() WHERE id = $1)
UPDATE blocks SET back = true WHERE retrieval = $1 AND datablock = $2;

-- name: set_damage
UPDATE blocks SET damage = $3 WHERE retrieval = $1 AND datablock = $2;

-- name: set_copy
UPDATE blocks SET copy = $3, suspect = $4 WHERE retrieval = $1 AND datablock = $2;

-- name: damaged
SELECT * FROM blocks WHERE retrieval = $1 AND damage <> '' ORDER BY archive_id;

-- name: in_damaged
SELECT w.result FROM wanted w JOIN blocks b ON b.retrieval = w.retrieval AND b.datablock = w.datablock
WHERE w.retrieval = $1 AND NOT w.produced AND b.damage <> '' ORDER BY w.result;

-- name: produced
UPDATE wanted SET produced = true WHERE retrieval = $1 AND result = $2;

-- name: to_produce
SELECT w.*, b.archive_id FROM wanted w JOIN blocks b ON b.retrieval = w.retrieval AND b.datablock = w.datablock
WHERE w.retrieval = $1 AND NOT w.produced AND b.damage = '' ORDER BY b.archive_id, w.start;

-- name: not_produced
SELECT result FROM wanted WHERE retrieval = $1 AND NOT produced ORDER BY result;

-- name: keep_addresses
-- No row: the datablocks were swept. Not while the sweep looks, which may have found already that nobody has addresses.
WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(hashtextextended('headrace.retrieval', 0)) AS done)
UPDATE retrievals SET addresses_until = greatest(addresses_until, $2) FROM locked WHERE id = $1 AND swept_at IS NULL RETURNING id;

-- name: lock_begin
-- Retrievals may begin side by side, but not while the sweep looks.
SELECT pg_advisory_xact_lock_shared(hashtextextended('headrace.retrieval', 0));

-- name: lock_sweep
SELECT pg_advisory_xact_lock(hashtextextended('headrace.retrieval', 0));

-- name: needed
-- Which of these datablocks have to stay ($2: retrievals made or brought back since then, or of which an address
-- expired since then, keep theirs).
SELECT DISTINCT b.archive_id FROM blocks b JOIN retrievals r ON r.id = b.retrieval LEFT JOIN chains c ON c.id = r.id
WHERE b.archive_id = ANY($1::text[]) AND (c.due_at IS NOT NULL OR r.created_at > $2 OR r.back_at > $2
    OR r.addresses_until > $2);

-- name: note_swept
-- Of all retrievals that had them: to download, they have to be retrieved again.
WITH gone AS (UPDATE blocks SET back = false WHERE archive_id = ANY($1::text[]) RETURNING retrieval)
UPDATE retrievals SET swept_at = $2 WHERE id IN (SELECT retrieval FROM gone);
