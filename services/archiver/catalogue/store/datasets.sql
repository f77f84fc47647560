-- name: insert
INSERT INTO datasets (id, pid, owner, owner_group, source_folder, dataset_name, contact_email, description)
VALUES (:id, :pid, :owner, :owner_group, :source_folder, :dataset_name, :contact_email, :description)
ON CONFLICT (pid) DO NOTHING RETURNING *;

-- name: find
SELECT * FROM datasets WHERE pid = :pid;

-- name: lock
SELECT * FROM datasets WHERE pid = :pid FOR UPDATE;

-- name: lock_id
SELECT * FROM datasets WHERE id = :id FOR UPDATE;

-- name: page
-- Newest first; an empty text, NULL and false fit all.
SELECT * FROM datasets
WHERE (:before::uuid IS NULL OR id < :before) AND (:owner::text IS NULL OR owner = :owner)
    AND (:search::text = '' OR strpos(lower(pid || ' ' || dataset_name || ' ' || description), lower(:search)) > 0)
    AND (:state::smallint IS NULL OR archive_state = :state) AND (:owner_group::text = '' OR owner_group = :owner_group)
    AND (NOT :damaged::boolean OR damaged > 0)
ORDER BY id DESC LIMIT :size;

-- name: set_lifecycle
-- NULL: stays. The guard is the caller's, who has locked the row.
UPDATE datasets SET archivable = coalesce(:archivable, archivable), retrievable = coalesce(:retrievable, retrievable),
    on_disk = coalesce(:on_disk, on_disk), archive_state = coalesce(:archive_state, archive_state),
    retrieve_state = coalesce(:retrieve_state, retrieve_state), version = version + 1, updated_at = now()
WHERE id = :id RETURNING *;

-- name: set_chain
UPDATE datasets SET chain = :chain, finish_again = false, version = version + 1, updated_at = now()
WHERE id = :id RETURNING *;

-- name: set_finish_again
UPDATE datasets SET finish_again = true WHERE id = :id;

-- name: keep_addresses
-- Somebody uploads until then: the sweep passes over it.
UPDATE datasets SET addresses_until = greatest(addresses_until, :until), swept_at = NULL WHERE id = :id;

-- name: count_files
UPDATE datasets d SET size = f.size, files = f.files, version = version + 1, updated_at = now()
FROM (SELECT coalesce(sum(size), 0)::bigint AS size, count(*)::integer AS files FROM files WHERE dataset = :id) AS f
WHERE d.id = :id RETURNING d.*;

-- name: count_datablocks
UPDATE datasets d SET packed_size = b.size, datablocks = b.datablocks, version = version + 1, updated_at = now()
FROM (SELECT coalesce(sum(packed_size), 0)::bigint AS size, count(*)::integer AS datablocks
      FROM datablocks WHERE dataset = :id AND state IN ({datablock.visible})) AS b
WHERE d.id = :id RETURNING d.*;

-- name: count_damaged
UPDATE datasets d SET damaged = b.damaged, version = version + 1, updated_at = now()
FROM (SELECT count(*)::integer AS damaged FROM datablocks WHERE dataset = :id AND state = {datablock.damaged}) AS b
WHERE d.id = :id RETURNING d.*;
