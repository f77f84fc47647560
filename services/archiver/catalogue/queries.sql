-- name: add_dataset
INSERT INTO datasets (id, pid, owner, owner_group, source_folder, dataset_name, contact_email, description)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (pid) DO NOTHING RETURNING *;

-- name: dataset
SELECT * FROM datasets WHERE pid = $1;

-- name: lock_dataset
SELECT * FROM datasets WHERE pid = $1 FOR UPDATE;

-- name: lock_dataset_of_chain
SELECT * FROM datasets WHERE id = $1 FOR UPDATE;

-- name: datasets
-- Newest first; one more than asked tells whether there are more.
SELECT * FROM datasets
WHERE (:before::uuid IS NULL OR id < :before) AND (:owner::text IS NULL OR owner = :owner)
    AND (:search::text = '' OR strpos(lower(pid || ' ' || dataset_name || ' ' || description), lower(:search)) > 0)
    AND (:state::smallint IS NULL OR archive_state = :state) AND (:owner_group::text = '' OR owner_group = :owner_group)
    AND (NOT :damaged::boolean OR damaged > 0)
ORDER BY id DESC LIMIT :rows;

-- name: set_lifecycle
UPDATE datasets SET archivable = coalesce($2, archivable), retrievable = coalesce($3, retrievable),
    on_disk = coalesce($4, on_disk), archive_state = coalesce($5, archive_state),
    retrieve_state = coalesce($6, retrieve_state), version = version + 1, updated_at = now()
WHERE id = $1 RETURNING *;

-- name: set_chain
UPDATE datasets SET chain = $2, finish_again = false, version = version + 1, updated_at = now() WHERE id = $1 RETURNING *;

-- name: finish_again
UPDATE datasets SET finish_again = true WHERE id = $1;

-- name: add_origdatablock
INSERT INTO origdatablocks (id, dataset, size, files) VALUES ($1, $2, $3, $4);

-- name: add_files
INSERT INTO files (dataset, path, size, chk, origdatablock)
SELECT $1, u.path, u.size, u.chk, $2 FROM unnest($3::text[], $4::bigint[], $5::text[]) AS u(path, size, chk);

-- name: files_at
SELECT path, size, chk, origdatablock FROM files WHERE dataset = $1 AND path = ANY($2::text[]) ORDER BY path;

-- name: crossing
-- What is registered as a file and would be a folder of one of the new ones ($2: their folders), or the other way round
-- ($3: their paths; what lies in `a` sorts between `a/` and `a0`).
SELECT path FROM files WHERE dataset = $1 AND path = ANY($2::text[])
UNION ALL
SELECT f.path FROM unnest($3::text[]) AS u(path)
JOIN files f ON f.dataset = $1 AND f.path > u.path || '/' AND f.path < u.path || '0'
LIMIT 1;

-- name: drop_files
DELETE FROM files WHERE dataset = $1 AND path = ANY($2::text[]);

-- name: count_origdatablocks
-- After files of them were registered anew; those that have none left go.
WITH counted AS (
    SELECT o.id, coalesce(sum(f.size), 0)::bigint AS size, count(f.path)::integer AS files
    FROM origdatablocks o LEFT JOIN files f ON f.origdatablock = o.id WHERE o.id = ANY($1::uuid[]) GROUP BY o.id
), gone AS (
    DELETE FROM origdatablocks o USING counted c WHERE o.id = c.id AND c.files = 0
)
UPDATE origdatablocks o SET size = c.size, files = c.files FROM counted c WHERE o.id = c.id AND c.files > 0;

-- name: count_files
UPDATE datasets d SET size = f.size, files = f.files, version = version + 1, updated_at = now()
FROM (SELECT coalesce(sum(size), 0)::bigint AS size, count(*)::integer AS files FROM files WHERE dataset = $1) AS f
WHERE d.id = $1 RETURNING d.*;

-- name: origdatablock
SELECT * FROM origdatablocks WHERE id = $1;

-- name: files
SELECT path, size, chk FROM files WHERE dataset = $1 ORDER BY path;

-- name: files_of
SELECT path, size, chk FROM files WHERE datablock = $1 ORDER BY path;

-- name: files_page
SELECT path, size, chk FROM files WHERE dataset = $1 AND path > $2 ORDER BY path LIMIT $3;

-- name: keep_addresses
-- Somebody uploads until then: the sweep passes over it.
UPDATE datasets SET addresses_until = greatest(addresses_until, $2), swept_at = NULL WHERE id = $1;

-- name: stored_files
SELECT path, size, chk, datablock, start FROM files
WHERE dataset = $1 AND path > $2 AND datablock IS NOT NULL ORDER BY path LIMIT $3;

-- name: stored_files_of
SELECT path, size, chk, datablock, start FROM files
WHERE datablock = $4 AND dataset = $1 AND path > $2 ORDER BY path LIMIT $3;

-- name: drop_blocks
WITH freed AS (UPDATE files SET datablock = NULL, start = NULL WHERE dataset = $1 AND datablock IS NOT NULL)
DELETE FROM datablocks WHERE dataset = $1;

-- name: add_block
INSERT INTO datablocks (id, dataset, number, name, size, files, packed_size, archive_id, storage)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: place_files
UPDATE files f SET datablock = $2, start = u.start FROM unnest($3::text[], $4::bigint[]) AS u(path, start)
WHERE f.dataset = $1 AND f.path = u.path;

-- name: blocks
SELECT * FROM datablocks WHERE dataset = $1 ORDER BY number;

-- name: blocks_page
SELECT * FROM datablocks WHERE dataset = $1 AND state >= 3 AND number > $2 ORDER BY number LIMIT $3;

-- name: pack_block
UPDATE datablocks SET state = $2, chk = $3, staging_key = $4 WHERE id = $1 AND state = ANY($5::smallint[]) RETURNING *;

-- name: move_block
UPDATE datablocks SET state = $2 WHERE id = $1 AND state = ANY($3::smallint[]) RETURNING *;

-- name: move_blocks
UPDATE datablocks SET state = $2 WHERE dataset = $1 AND state = ANY($3::smallint[]) RETURNING *;

-- name: damage_block
UPDATE datablocks SET state = $2, damage = $4, found_at = now(), found_size = $5, found_chk = $6
WHERE id = $1 AND state = ANY($3::smallint[]) RETURNING *;

-- name: whole_block
UPDATE datablocks SET state = $2, damage = '', found_at = NULL, found_size = NULL, found_chk = ''
WHERE id = $1 AND state = ANY($3::smallint[]) RETURNING *;

-- name: repack_block
UPDATE datablocks SET state = $2, staging_key = $4, copy = copy + 1
WHERE id = $1 AND state = ANY($3::smallint[]) RETURNING *;

-- name: give_up_repair
UPDATE datablocks SET state = $2 WHERE dataset = $1 AND damage <> '' AND state = ANY($3::smallint[]);

-- name: block
SELECT * FROM datablocks WHERE dataset = $1 AND id = $2 FOR UPDATE;

-- name: damaged_blocks
SELECT * FROM datablocks WHERE dataset = $1 AND state = $2 ORDER BY number LIMIT $3;

-- name: count_damaged
UPDATE datasets d SET damaged = b.damaged, version = version + 1, updated_at = now()
FROM (SELECT count(*)::integer AS damaged FROM datablocks WHERE dataset = $1 AND state = $2) AS b
WHERE d.id = $1 RETURNING d.*;

-- name: files_to_repair
SELECT f.path FROM files f JOIN datablocks b ON b.id = f.datablock
WHERE f.dataset = $1 AND f.path = ANY($2::text[]) AND b.state = $3;

-- name: count_blocks
UPDATE datasets d SET packed_size = b.size, blocks = b.blocks, version = version + 1, updated_at = now()
FROM (SELECT coalesce(sum(packed_size), 0)::bigint AS size, count(*)::integer AS blocks
      FROM datablocks WHERE dataset = $1 AND state >= 3) AS b
WHERE d.id = $1 RETURNING d.*;

-- name: located
SELECT b.storage, sum(b.packed_size)::bigint AS size FROM datablocks b JOIN datasets d ON d.id = b.dataset
WHERE b.dataset = $1 AND b.state = 5 GROUP BY b.storage, d.blocks HAVING count(*) = d.blocks;

-- name: block_counts
SELECT state, count(*) AS blocks, sum(packed_size)::bigint AS size FROM datablocks WHERE dataset = $1
GROUP BY state ORDER BY state;

-- name: add_job
INSERT INTO jobs (id, type, dataset, owner) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING RETURNING *;

-- name: job
SELECT j.*, d.pid FROM jobs j JOIN datasets d ON d.id = j.dataset WHERE j.id = $1;

-- name: move_job
UPDATE jobs SET state = $2, message = $3, version = version + 1, updated_at = now()
WHERE id = $1 AND (state = ANY($4::smallint[])) RETURNING *;

-- name: chain_is_live
SELECT due_at IS NOT NULL FROM chains WHERE id = $1;

-- name: abandon
WITH dropped_files AS (DELETE FROM files WHERE dataset = $1),
    dropped_datablocks AS (DELETE FROM datablocks WHERE dataset = $1),
    dropped_origdatablocks AS (DELETE FROM origdatablocks WHERE dataset = $1),
    dropped_jobs AS (DELETE FROM jobs WHERE dataset = $1),
    noted AS (INSERT INTO abandoned (id, pid, owner, size, files) SELECT id, pid, owner, size, files FROM datasets WHERE id = $1)
DELETE FROM datasets WHERE id = $1 RETURNING *;

-- name: abandoned
SELECT * FROM abandoned WHERE pid = $1 AND ($2::uuid IS NULL OR id = $2) ORDER BY abandoned_at DESC LIMIT 1;

-- name: were_abandoned
SELECT id FROM abandoned WHERE id = ANY($1::uuid[]);

-- name: seen
-- Datasets of which bytes were found.
SELECT d.id, d.archive_state, d.retrievable, d.updated_at, d.addresses_until, coalesce(c.due_at IS NOT NULL, false) AS live
FROM datasets d LEFT JOIN chains c ON c.id = d.chain WHERE d.id = ANY($1::uuid[]);

-- name: lock_swept
-- Those that somebody works on now are passed over.
SELECT id FROM datasets WHERE id = ANY($1::uuid[]) FOR UPDATE SKIP LOCKED;

-- name: known
SELECT id FROM datasets WHERE id = ANY($1::uuid[]);

-- name: note_swept
UPDATE datasets SET swept_at = $2 WHERE id = ANY($1::uuid[]) AND archive_state = ANY($3::smallint[]);
