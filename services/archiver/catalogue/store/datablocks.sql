-- Datablocks. The guard of each change of state: the states that the machine allows for it.

-- name: insert
INSERT INTO datablocks (id, dataset, number, name, size, files, packed_size, archive_id, storage)
VALUES (:id, :dataset, :number, :name, :size, :files, :packed_size, :archive_id, :storage);

-- name: delete_all
WITH freed AS (UPDATE files SET datablock = NULL, start = NULL WHERE dataset = :dataset AND datablock IS NOT NULL)
DELETE FROM datablocks WHERE dataset = :dataset;

-- name: lock
SELECT * FROM datablocks WHERE dataset = :dataset AND id = :id FOR UPDATE;

-- name: of_dataset
SELECT * FROM datablocks WHERE dataset = :dataset ORDER BY number;

-- name: page
SELECT * FROM datablocks WHERE dataset = :dataset AND state IN ({datablock.visible}) AND number > :after
ORDER BY number LIMIT :size;

-- name: damaged
SELECT * FROM datablocks WHERE dataset = :dataset AND state = {datablock.damaged} ORDER BY number LIMIT :size;

-- name: counts
SELECT state, count(*) AS datablocks, sum(packed_size)::bigint AS size FROM datablocks WHERE dataset = :dataset
GROUP BY state ORDER BY state;

-- name: storages
-- Those that hold all datablocks of a dataset, whole.
SELECT b.storage FROM datablocks b JOIN datasets d ON d.id = b.dataset
WHERE b.dataset = :dataset AND b.state = {datablock.validated} GROUP BY b.storage, d.datablocks HAVING count(*) = d.datablocks;

-- name: move
UPDATE datablocks SET state = :state WHERE id = :id AND state = ANY(:sources::smallint[]) RETURNING *;

-- name: move_all
UPDATE datablocks SET state = :state WHERE dataset = :dataset AND state = ANY(:sources::smallint[]);

-- name: set_packed
UPDATE datablocks SET state = :state, chk = :chk, staging_key = :staging_key
WHERE id = :id AND state = ANY(:sources::smallint[]) RETURNING *;

-- name: set_damaged
UPDATE datablocks SET state = :state, damage = :damage, found_at = now(), found_size = :found_size, found_chk = :found_chk
WHERE id = :id AND state = ANY(:sources::smallint[]) RETURNING *;

-- name: set_whole
UPDATE datablocks SET state = :state, damage = '', found_at = NULL, found_size = NULL, found_chk = ''
WHERE id = :id AND state = ANY(:sources::smallint[]) RETURNING *;

-- name: set_repacked
UPDATE datablocks SET state = :state, staging_key = :staging_key, copy = copy + 1
WHERE id = :id AND state = ANY(:sources::smallint[]) RETURNING *;

-- name: give_up_repair
UPDATE datablocks SET state = :state WHERE dataset = :dataset AND damage <> '' AND state = ANY(:sources::smallint[]);
