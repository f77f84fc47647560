-- Retrievals, the files that are requested of them, and the datablocks that they bring back.

-- name: insert
INSERT INTO retrievals (id, pid, owner, job, session, requested) VALUES (:id, :pid, :owner, :job, :session, :requested)
ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: insert_files
INSERT INTO requested_files (retrieval, path, result) SELECT :retrieval, u.path, u.result
FROM unnest(:paths::text[], :results::uuid[]) AS u(path, result);

-- name: find
SELECT r.*, (SELECT count(*) FROM datablocks b WHERE b.retrieval = r.id) AS datablocks,
    (SELECT count(*) FROM datablocks b WHERE b.retrieval = r.id AND b.retrieved) AS retrieved,
    (SELECT count(*) FROM datablocks b WHERE b.retrieval = r.id AND b.damage <> '') AS damaged,
    (SELECT coalesce(sum(b.packed_size), 0)::bigint FROM datablocks b WHERE b.retrieval = r.id) AS size,
    (SELECT count(*) FROM requested_files f WHERE f.retrieval = r.id AND f.produced) AS produced
FROM retrievals r WHERE r.id = :id;

-- name: keep_addresses
-- No row: the datablocks were evicted. Not during an eviction, which may have found already that nobody has addresses.
WITH locked AS MATERIALIZED (SELECT locks.lock_shared('retrieval') AS done)
UPDATE retrievals SET addresses_until = greatest(addresses_until, :until) FROM locked
WHERE id = :id AND evicted_at IS NULL RETURNING id;

-- name: hold_evictions
-- Retrievals may begin side by side, but not during an eviction.
SELECT locks.lock_shared('retrieval');

-- name: insert_datablock
INSERT INTO datablocks (retrieval, datablock, archive_id, packed_size, chk, copy, suspect, storage)
VALUES (:retrieval, :datablock, :archive_id, :packed_size, :chk, :copy, :suspect, :storage)
ON CONFLICT DO NOTHING;

-- name: datablocks
SELECT * FROM datablocks WHERE retrieval = :retrieval ORDER BY archive_id;

-- name: datablocks_page
SELECT * FROM datablocks WHERE retrieval = :retrieval AND archive_id > :after ORDER BY archive_id LIMIT :size;

-- name: damaged_datablocks
SELECT * FROM datablocks WHERE retrieval = :retrieval AND damage <> '' ORDER BY archive_id;

-- name: set_retrieved
WITH noted AS (UPDATE retrievals SET retrieved_at = now() WHERE id = :retrieval)
UPDATE datablocks SET retrieved = true WHERE retrieval = :retrieval AND datablock = :datablock;

-- name: set_damage
UPDATE datablocks SET damage = :damage WHERE retrieval = :retrieval AND datablock = :datablock;

-- name: set_copy
UPDATE datablocks SET copy = :copy, suspect = :suspect WHERE retrieval = :retrieval AND datablock = :datablock;

-- name: requested_files
SELECT * FROM requested_files WHERE retrieval = :retrieval ORDER BY path;

-- name: place_file
UPDATE requested_files SET datablock = :datablock, start = :start, size = :size, chk = :chk
WHERE retrieval = :retrieval AND path = :path;

-- name: set_produced
UPDATE requested_files SET produced = true WHERE retrieval = :retrieval AND result = :result;

-- name: producible
SELECT f.*, b.archive_id FROM requested_files f JOIN datablocks b ON b.retrieval = f.retrieval AND b.datablock = f.datablock
WHERE f.retrieval = :retrieval AND NOT f.produced AND b.damage = '' ORDER BY b.archive_id, f.start;

-- name: results_in_damaged
SELECT f.result FROM requested_files f JOIN datablocks b ON b.retrieval = f.retrieval AND b.datablock = f.datablock
WHERE f.retrieval = :retrieval AND NOT f.produced AND b.damage <> '' ORDER BY f.result;

-- name: results_not_produced
SELECT result FROM requested_files WHERE retrieval = :retrieval AND NOT produced ORDER BY result;
